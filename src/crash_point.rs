//! Where a test may kill the process: moments of a run that luck would hardly find.

/// Dies as by SIGKILL, without any clean-up, when the environment variable `REGULARS_CRASH_AT` names this point, as in `promoting`,
/// or in `promoting:3` for the third time that it is reached. Only in builds for tests and development.
#[cfg(debug_assertions)]
pub fn crash_point(name: &str) {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    static REACHED: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

    let Ok(wanted) = std::env::var("REGULARS_CRASH_AT") else { return };
    let (point, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point != name {
        return;
    }
    let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
    let times = reached.entry(name.to_owned()).or_default();
    *times += 1;
    if time.parse() == Ok(*times) {
        std::process::abort();
    }
}

/// Nothing in a release.
#[cfg(not(debug_assertions))]
pub fn crash_point(_name: &str) {}
