//! Verifies a weight file in a separate process, so that a file that crashes it crashes nothing else.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use omomi::error::Owner;

use super::PublishError;

/// Maximum number of bytes of the process's message that are passed on.
const MAX_MESSAGE_LEN: u64 = 64 << 10;

/// Verifies files in a fresh process: a program that is run with the file's path as its last argument.
///
/// Exit code 0 means that the file is good. Exit code 1 means that it is bad; standard output then has the reason as
/// `{"refused":{"code":...,"owner":...,"message":...,"action":...}}`, or else standard error has it as text. Any other
/// end of the process says nothing about the file, which is then not published.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Time after which the process is killed and the file rejected.
    pub time_limit: Duration,
}

impl Verifier {
    /// The default time limit. A file of one gigabyte takes about two seconds.
    pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(600);

    /// Returns a verifier that runs the current program, which must be `omomi`.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system if it cannot tell the path of the program.
    pub fn this_program() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: ["verify", "--json"].map(OsString::from).to_vec(),
            time_limit: Self::DEFAULT_TIME_LIMIT,
        })
    }

    /// Verifies the file at `path`.
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::NotVerified`] for a bad file. Returns [`PublishError::NoVerifier`],
    /// [`PublishError::VerifierTooSlow`] or [`PublishError::VerifierFailed`] if the process did not reach a verdict.
    pub fn verify(&self, path: impl AsRef<Path>) -> Result<(), PublishError> {
        let path = path.as_ref();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|source| self.unusable(source))?;
        let (stdout, stderr) = (in_background(child.stdout.take()), in_background(child.stderr.take()));
        let Some(status) = self.wait(&mut child).map_err(|source| self.unusable(source))? else {
            return Err(PublishError::VerifierTooSlow { time_limit: self.time_limit });
        };
        let (stdout, stderr) = (text_of(stdout), text_of(stderr));
        match status.code() {
            Some(0) => Ok(()),
            Some(1) => Err(refusal(&stdout, stderr.trim())),
            _ => Err(PublishError::VerifierFailed { status, message: stderr.trim().to_owned() }),
        }
    }

    /// Returns how the process ended; `None` if it had to be killed.
    fn wait(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            let left = self.time_limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    fn unusable(&self, source: io::Error) -> PublishError {
        PublishError::NoVerifier { program: self.program.clone(), source }
    }
}

/// Reads in a separate thread, because a process whose pipe is full waits for its reader. Keeps only the first bytes.
fn in_background(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut front = Vec::new();
        if let Some(mut pipe) = pipe {
            // A read error ends the message.
            let _ = Read::by_ref(&mut pipe).take(MAX_MESSAGE_LEN).read_to_end(&mut front);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        front
    })
}

fn text_of(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

fn refusal(stdout: &str, stderr: &str) -> PublishError {
    let said = serde_json::from_str::<Value>(stdout).unwrap_or_default();
    let refused = &said["refused"];
    let text = |key: &str| refused[key].as_str().map(str::to_owned);
    let owner = refused["owner"].as_str().and_then(Owner::from_word);
    PublishError::NotVerified {
        code: text("code").unwrap_or_else(|| "not_verified".to_owned()),
        owner: owner.unwrap_or(Owner::Ml),
        message: text("message").unwrap_or_else(|| format!("the file was not verified: {stderr}")),
        action: text("action").unwrap_or_else(|| "do not serve this file; pack it again".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, time_limit: Duration) -> Result<(), PublishError> {
        let arguments = ["-c", script].map(OsString::from).to_vec();
        Verifier { program: "/bin/sh".into(), arguments, time_limit }.verify(Path::new("/file"))
    }

    const ENOUGH: Duration = Duration::from_secs(60);

    #[test]
    fn the_path_is_the_last_argument() {
        shell(r#"[ "$0" = /file ]"#, ENOUGH).unwrap();
    }

    #[test]
    fn a_refusal_is_passed_on_with_owner_and_action() {
        let script = r#"echo '{"refused":{"code":"damaged","owner":"infra","message":"bad","action":"copy"}}'; exit 1"#;
        let error = shell(script, ENOUGH).unwrap_err();
        assert_eq!((error.name(), error.owner(), error.action()), ("damaged", Owner::Infra, "copy"));
        assert_eq!(error.to_string(), "bad");
    }

    #[test]
    fn a_refusal_as_plain_text_is_passed_on() {
        let error = shell("echo it is bad >&2; exit 1", ENOUGH).unwrap_err();
        assert_eq!((error.name(), error.owner()), ("not_verified", Owner::Ml));
        assert_eq!(error.to_string(), "the file was not verified: it is bad");
    }

    #[test]
    fn death_by_a_signal_is_neither_a_rejection_nor_an_approval() {
        let error = shell("echo last words >&2; kill -SEGV $$", ENOUGH).unwrap_err();
        assert_eq!((error.name(), error.owner()), ("verifier_failed", Owner::Infra));
        assert!(error.to_string().contains("signal: 11") && error.to_string().contains("last words"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let start = Instant::now();
        let error = shell("exec sleep 60", Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.name(), "verifier_too_slow");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_program_that_prints_a_lot_is_not_blocked_by_its_pipe() {
        let error = shell("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1", ENOUGH).unwrap_err();
        assert!(error.to_string().len() < 70_000);
    }

    #[test]
    fn a_missing_program_is_not_an_approval() {
        let verifier = Verifier { program: "/absent".into(), arguments: Vec::new(), time_limit: ENOUGH };
        assert_eq!(verifier.verify(Path::new("/file")).unwrap_err().name(), "no_verifier");
    }
}
