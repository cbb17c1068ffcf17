//! Runs the C and C++ compilers of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::library::{library, shared_library};

/// A language in which the header must compile without warnings.
#[derive(Debug, Clone, Copy)]
pub enum Dialect {
    C99,
    C11,
    Cpp17,
}

/// The library that a client is linked with.
#[derive(Debug, Clone, Copy)]
pub enum Linkage {
    Shared,
    Static,
}

impl Dialect {
    pub const ALL: [Self; 3] = [Self::C99, Self::C11, Self::Cpp17];

    pub const fn extension(self) -> &'static str {
        match self {
            Self::C99 | Self::C11 => "c",
            Self::Cpp17 => "cpp",
        }
    }

    fn compiler(self, arguments: &[&str]) -> Command {
        let (program, standard) = match self {
            Self::C99 => ("cc", "-std=c99"),
            Self::C11 => ("cc", "-std=c11"),
            Self::Cpp17 => ("c++", "-std=c++17"),
        };
        let mut command = Command::new(program);
        command.args(arguments).args([
            standard,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-O1",
            "-g",
            "-pthread",
            "-I",
        ]);
        command.arg(include_folder());
        command
    }
}

/// The folder of the header.
pub fn include_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

pub fn compile_object(dialect: Dialect, source: &Path, object: &Path) {
    run(dialect.compiler(&[]).arg("-c").arg(source).arg("-o").arg(object));
}

/// Compiles `source` under `tests/c` and links it with the library of this build.
pub fn compile_client(dialect: Dialect, source: &str, linkage: Linkage, program: &Path) {
    compile_client_with(dialect, source, linkage, program, &[]);
}

/// Compiles like [`compile_client`], with these arguments before all others.
pub fn compile_client_with(dialect: Dialect, source: &str, linkage: Linkage, program: &Path, arguments: &[&str]) {
    let mut command = dialect.compiler(arguments);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(source)).arg("-o").arg(program);
    match linkage {
        Linkage::Shared => {
            let library = shared_library();
            command.arg(format!("-Wl,-rpath,{}", library.parent().unwrap().display())).arg(library);
        }
        Linkage::Static => drop(command.arg(library("libomomi.a"))),
    }
    // The libraries that `rustc --print native-static-libs` lists; harmless if the library is shared.
    command.args(["-ldl", "-lm", "-lpthread"]);
    run(&mut command);
}

/// Runs a command to its end and returns its output. Panics with the output if the command fails.
pub fn run(command: &mut Command) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {command:?}: {error}; install a C and a C++ compiler"),
    };
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{text}", output.status);
    text
}
