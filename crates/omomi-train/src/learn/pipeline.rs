//! A pipeline of two threads: one reads and decodes the next batches of a log while the other processes earlier ones.

use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use crate::log::{LogReader, RowBatch};

use super::TrainError;

/// Decoded batches that may wait in the queue. This bounds the memory of the pipeline.
const MAX_QUEUED_BATCHES: usize = 2;

/// Calls `work` with each batch of `reader`, in order, on a second thread. The calling thread reads ahead and calls
/// `watch` with each result of `work`.
///
/// What `work` sees does not depend on which thread is faster. If both threads fail, the error of `work` is returned,
/// because it belongs to earlier rows.
pub(super) fn run_pipeline<T: Send>(
    reader: &mut LogReader,
    mut work: impl FnMut(&RowBatch) -> Result<T, TrainError> + Send,
    mut watch: impl FnMut(&LogReader, T),
) -> Result<(), TrainError> {
    let (batches, inbox) = sync_channel::<RowBatch>(MAX_QUEUED_BATCHES);
    let (outbox, outcomes) = channel();
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            for batch in inbox {
                // Sending fails only after a panic of the calling thread.
                let _ = outbox.send(work(&batch)?);
            }
            Ok::<(), TrainError>(())
        });
        let read = loop {
            match reader.next_batch() {
                Ok(Some(batch)) => {
                    // The worker has hung up because of an error, which `join` returns below.
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

#[cfg(test)]
mod tests {
    use crate::log::ReadOptions;
    use omomi::contract::Contract;

    use super::*;

    /// Processes a log of three good batches and then a bad row; the work fails at batch `fails_at`, counted from 0.
    fn outcome(fails_at: usize) -> (Vec<u64>, Vec<usize>, String) {
        let json = br#"{"name":"tiny","label":"clicked","field":[
            {"name":"media","side":"context","type":"id","meaning":"m"}]}"#;
        let contract = Contract::from_json(json).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        std::fs::write(&path, "clicked,media\n0,0\n1,1\n0,2\n0,3\n1,4\n0,5\n7,6\n").unwrap();
        let options = ReadOptions { batch_row_count: 2, ..ReadOptions::default() };
        let mut reader = LogReader::open(&contract, &[path.to_str().unwrap()], options).unwrap();
        let (mut seen, mut watched, mut count) = (Vec::new(), Vec::new(), 0);
        let work = |batch: &RowBatch| {
            if count == fails_at {
                return Err(TrainError::NoPass);
            }
            count += 1;
            seen.extend_from_slice(&batch.columns[0].values);
            Ok(count)
        };
        let error = run_pipeline(&mut reader, work, |_, count| watched.push(count)).unwrap_err();
        (seen, watched, error.to_string())
    }

    #[test]
    fn batches_are_processed_in_order_and_each_result_is_reported() {
        let (seen, watched, error) = outcome(usize::MAX);
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert_eq!(watched, [1, 2, 3]);
        assert!(error.contains("row 7"), "{error}");
    }

    #[test]
    fn an_error_of_the_work_takes_precedence_over_one_of_later_rows() {
        for fails_at in 0..3 {
            let (seen, watched, error) = outcome(fails_at);
            assert_eq!((seen.len(), watched.len()), (2 * fails_at, fails_at));
            assert_eq!(error, TrainError::NoPass.to_string());
        }
    }
}
