//! Programs in Python that tests need. The first test that needs them installs them into a folder of the build, with
//! the `python3` on the path and pip.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs packages, unless another test did. Returns the Python that has them. Other packages need another folder.
pub(crate) fn installed(folder: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let (python, complete) = (folder.join("bin/python3"), folder.join("complete"));
    if complete.exists() {
        return Ok(python);
    }
    let words = |error: std::io::Error| error.to_string();
    let lock = std::fs::File::create(folder.with_extension("lock")).map_err(words)?;
    lock.lock().map_err(words)?;
    if complete.exists() {
        return Ok(python);
    }
    let run = |program: &OsStr, arguments: &[&OsStr]| {
        let output = Command::new(program).args(arguments).output().map_err(words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        if output.status.success() { Ok(()) } else { Err(format!("{}: {last}", program.display())) }
    };
    run("python3".as_ref(), &["-m".as_ref(), "venv".as_ref(), folder.as_ref()])?;
    let install = ["-m", "pip", "install", "--quiet"].iter().chain(packages).map(OsStr::new).collect::<Vec<_>>();
    run(python.as_ref(), &install)?;
    std::fs::write(complete, "").map_err(words)?;
    Ok(python)
}
