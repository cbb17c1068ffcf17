//! Runs this test binary again in a separate process, to measure a whole process or to kill it.

use std::process::Command;

const ROLE: &str = "OMOMI_TEST_ROLE";

/// Returns the role of this process, or `None` in the process that runs the tests.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Returns the command that runs only the test with that full name, in that role.
pub fn command(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}
