//! Reading beside work: while one thread decodes the next batches of a log, another works on those that are there.

use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use crate::log_reader::{LogReader, RowBatch};

use super::TrainError;

/// Batches that may wait to be worked on: what bounds the memory.
const BATCHES_AHEAD: usize = 2;

/// Calls `work` with each batch of `reader`, in their order, on a thread of its own. The calling thread reads, and tells `watch`
/// what came of each batch.
///
/// What `work` sees does not depend on which thread is faster. Of two errors the one that belongs to the earlier rows is
/// returned: that of the work.
pub(super) fn each_batch<T: Send>(
    reader: &mut LogReader,
    mut work: impl FnMut(&RowBatch) -> Result<T, TrainError> + Send,
    mut watch: impl FnMut(&LogReader, T),
) -> Result<(), TrainError> {
    let (batches, inbox) = sync_channel::<RowBatch>(BATCHES_AHEAD);
    let (outbox, outcomes) = channel();
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            for batch in inbox {
                // Nobody listens any more only when the calling thread panics.
                let _ = outbox.send(work(&batch)?);
            }
            Ok::<(), TrainError>(())
        });
        let read = loop {
            match reader.next_batch() {
                Ok(Some(batch)) => {
                    // A worker that takes nothing more has met an error.
                    if batches.send(batch).is_err() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            outcomes.try_iter().for_each(|outcome| watch(reader, outcome));
        };
        drop(batches);
        let worked = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcomes.try_iter().for_each(|outcome| watch(reader, outcome));
        worked?;
        Ok(read?)
    })
}
