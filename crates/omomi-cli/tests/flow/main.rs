//! `omomi flow`, as people use it: real commands as tasks, runs that are killed and resumed, limits, status and page.

mod kill;
mod project;
mod tasks;
