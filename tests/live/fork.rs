//! Live models in a fork. The thread that follows the store is not there, so nothing may wait for it, and nothing may
//! claim that the live model follows. `tests/c/live_careless_calls.c` has the calls of C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use omomi::Code;

use crate::world::{CANDIDATE_COUNT, Server, World, layout, options};

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

/// `LiveModel::look_now` once hung, health stayed ready, and dropping the model panicked.
#[test]
fn calls_in_a_fork_return_at_once_and_say_so_at_whatever_moment_it_was_forked() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    assert_eq!(server.ask(), Ok(1));
    let is_over = AtomicBool::new(false);
    let Server { live, scorer, request } = &mut server;
    std::thread::scope(|scope| {
        // The thread of the live model is often inside of a look, and so holds locks, when the process is forked.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                live.look_now();
            }
        });
        for _ in 0..30 {
            assert!(succeeds_in_a_fork(|| {
                live.look_now();
                assert_eq!(live.check_process().unwrap_err().code(), Code::Forked);
                assert_eq!(live.scorer(&layout()).unwrap_err().code(), Code::Forked);
                let (health, metrics, status) = (live.health(), live.metrics(), live.status());
                assert!(!health.is_live && !health.is_ready && !metrics.is_live && !metrics.is_ready);
                assert_eq!(health.reasons.last().unwrap().code, Code::Forked);
                assert_eq!(status.reasons.last().unwrap().code, Code::Forked);
                assert!(metrics.reasons.iter().any(|(code, count)| code == Code::Forked && count == 1));
                // Either the state at the fork, or nothing if a thread that is gone was changing it.
                assert!(live.model().is_none_or(|model| model.generation() == 1));
                assert!(live.logic_id(1).is_none_or(|logic_id| !logic_id.is_empty()));
                scorer.predict(request, CANDIDATE_COUNT).unwrap();
                assert_eq!(request.generation(), 1);
            }));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    world.publish(2);
    assert_eq!(server.look_and_ask(), Ok(2), "the parent is not affected");
}

#[test]
fn a_fork_drops_the_live_model_of_its_parent_and_opens_one_of_its_own() {
    let world = World::new();
    world.publish(1);
    let server = world.serve();
    let mut parent = Some(server);
    let succeeded = succeeds_in_a_fork(|| {
        drop(parent.take());
        world.publish(2);
        let mut own = world.serve_with(options().with(|it| it.name = "fork".to_owned()));
        assert_eq!(own.ask(), Ok(2));
        assert!(own.live.health().is_ready);
        world.publish(3);
        assert_eq!(own.look_and_ask(), Ok(3));
        drop(own);
    });
    assert!(succeeded);
    assert_eq!(parent.as_mut().unwrap().look_and_ask(), Ok(3));
}
