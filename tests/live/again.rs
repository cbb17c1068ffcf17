//! This test binary once more, as a process of its own: to measure a whole process, or to kill one.

use std::process::Command;

const ROLE: &str = "OMOMI_TEST_ROLE";

/// What this process was started for; nothing in the one that runs the tests.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Runs the test of that full name alone, in that role.
pub fn command(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}
