//! Which build of the library the C and JVM clients load.

use std::path::{Path, PathBuf};

/// Names the folder of another build, such as `target/dist`: `.ci/run` tests the very library that a server links.
const FOLDER_VARIABLE: &str = "OMOMI_LIBRARY_FOLDER";

/// The shared library.
pub fn shared_library() -> PathBuf {
    library(&format!("{}omomi{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
}

/// A library file: from the folder that `OMOMI_LIBRARY_FOLDER` names (relative to the repository), or of this build,
/// which cargo puts beside the tests.
pub fn library(name: &str) -> PathBuf {
    let library = match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name),
        None => std::env::current_exe().unwrap().with_file_name(name),
    };
    assert!(library.is_file(), "no library at {}", library.display());
    library
}
