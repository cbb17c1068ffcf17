//! A log in a fork: the thread that writes is not there, and the files belong to the parent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use omomi::Code;
use omomi::serving_log::{DropReason, Recorded, ServingLog};

use crate::small_model;
use crate::world::{PATIENCE, Thread, model_of, options, read};

/// Runs `body` in a fork, and returns whether it succeeded within a minute.
fn succeeds_in_a_fork(body: impl FnOnce()) -> bool {
    // SAFETY: the child only runs `body`, which uses what the library promises for a fork, and then ends itself.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: ends a child that hangs.
        unsafe { libc::alarm(60) };
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // SAFETY: ends the child without running the destructors of the test process.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable, and the child is this process's own.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn a_fork_never_writes_the_segments_of_its_parent_and_can_open_a_log_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let model = model_of(&small_model::contract());
    let mut thread = Thread::new(&log, &model);
    assert_eq!(thread.record("parent-1", 0), Recorded::Queued);
    let mut parts = Some((thread, log));
    for round in 0..10 {
        assert!(succeeds_in_a_fork(|| {
            let (mut thread, log) = parts.take().unwrap();
            assert_eq!(thread.record("child", 0), Recorded::Dropped(DropReason::Closed));
            assert_eq!(log.event_ring().unwrap_err().code(), Code::Forked);
            let began = Instant::now();
            assert!(!log.flush(PATIENCE) && !log.metrics().is_writing);
            drop((thread, log));
            assert!(began.elapsed() < Duration::from_secs(1));
            let own = ServingLog::open(folder.path(), options()).unwrap();
            let mut thread = Thread::new(&own, &model);
            assert_eq!(thread.record(&format!("child-{round}"), 0), Recorded::Queued);
        }));
    }
    let (mut thread, log) = parts.unwrap();
    assert_eq!(thread.record("parent-2", 0), Recorded::Queued);
    drop((thread, log));
    let read = read(folder.path());
    let count = |prefix: &str| read.predictions.iter().filter(|it| it.request_id.starts_with(prefix)).count();
    assert_eq!((count("parent-"), count("child-"), read.predictions.len()), (2, 10, 12));
    assert!(read.account.rings().all(|ring| ring.unexplained == 0));
    assert!(read.account.writers().all(|(_, writer)| writer.is_closed && !writer.is_recovered));
}
