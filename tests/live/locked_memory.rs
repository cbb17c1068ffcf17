//! Locking the served file in memory.

use crate::world::{World, options};

/// The reason once was `file`, which sent people to path, permissions and disk.
#[test]
fn a_limit_of_locked_memory_is_a_reason_of_its_own_and_serving_continues() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is readable. No other test of this process locks memory.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) }, 0);
    let world = World::new();
    world.publish(1);
    let mut server = world.serve_with(options().with(|it| it.lock_memory = true));
    assert_eq!(server.ask(), Ok(1));
    let status = server.live.status();
    let Some(reason) = status.reasons.first() else {
        eprintln!("skipped: this process may lock memory beyond its limit");
        return;
    };
    assert_eq!((reason.code.name(), reason.owner().word()), ("memory_not_locked", "infra"));
    for part in ["000001.omomi", "found 0 bytes", "LimitMEMLOCK", &format!("{} bytes", World::bytes(1).len())] {
        assert!(reason.text.contains(part), "{part} in: {}", reason.text);
    }
}
