//! How much memory a process may still take: the machine's, or what is left in its cgroup.

use std::path::{Path, PathBuf};

/// Returns the bytes that the machine and the cgroups of this process have available, the least of them; nothing if the
/// system does not tell.
pub(super) fn available_bytes() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| of_machine(&text));
    let cgroups = read(Path::new("/proc/self/cgroup")).map(|text| folders_of(&text)).unwrap_or_default();
    let of_cgroup = |(folder, names): (PathBuf, &Names)| {
        let [limit, used, stat] = [names.limit, names.used, "memory.stat"].map(|name| read(&folder.join(name)));
        left_in(&limit?, &used?, &stat?, names.reclaimable)
    };
    cgroups.into_iter().filter_map(of_cgroup).chain(machine).min()
}

/// Names of a cgroup's files, and of the number of bytes that the system takes back if they are needed.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    limit: &'static str,
    used: &'static str,
    reclaimable: &'static str,
}

const VERSION_1: Names =
    Names { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", reclaimable: "total_inactive_file" };
const VERSION_2: Names = Names { limit: "memory.max", used: "memory.current", reclaimable: "inactive_file" };

fn of_machine(meminfo: &str) -> Option<u64> {
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim();
    kilobytes.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Returns the folders of the cgroups that limit the process: its own one and those above it.
fn folders_of(cgroup: &str) -> Vec<(PathBuf, &'static Names)> {
    let mut folders = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, names) = match controllers {
            "" => ("/sys/fs/cgroup", &VERSION_2),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", &VERSION_1)
            }
            _ => continue,
        };
        let own = Path::new(path.trim_start_matches('/'));
        folders.extend(own.ancestors().map(|above| (Path::new(root).join(above), names)));
    }
    folders
}

/// Returns what is left in a cgroup; nothing if it has no limit.
fn left_in(limit: &str, used: &str, stat: &str, reclaimable: &str) -> Option<u64> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let freed = stat.lines().find_map(|line| line.strip_prefix(reclaimable)?.strip_prefix(' ')).and_then(number);
    let used = number(used)?.saturating_sub(freed.unwrap_or(0));
    Some(number(limit)?.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_available_memory_of_the_machine_is_read() {
        let text = "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(of_machine(text), Some(8_000_000 * 1_024));
        assert_eq!(of_machine("MemTotal: 1 kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn each_cgroup_above_the_process_is_looked_at() {
        let paths = |text: &str| folders_of(text).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        let expected = ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup/"].map(PathBuf::from);
        assert_eq!(paths("0::/a/b\n"), expected);
        let expected = ["/sys/fs/cgroup/memory/pod", "/sys/fs/cgroup/memory/"].map(PathBuf::from);
        assert_eq!(paths("7:cpu,cpuacct:/x\n5:memory:/pod\n"), expected);
        assert_eq!(paths("nonsense"), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_the_system_takes_back_is_available() {
        let stat = "anon 100\nfile 50\ninactive_file 30\nactive_file 20\n";
        assert_eq!(left_in("1000\n", "400\n", stat, "inactive_file"), Some(630));
        assert_eq!(left_in("1000\n", "2000\n", "", "inactive_file"), Some(0));
        assert_eq!(left_in("max\n", "400\n", stat, "inactive_file"), None);
    }
}
