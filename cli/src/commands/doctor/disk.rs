//! The data directory: room, and the right to write.

use std::io::Write as _;
use std::path::Path;

use headwater_log::Finding;

/// Below this a server soon stops, in bytes.
const LEAST_BYTES: u64 = 256 << 20;
/// Below this somebody should look, in bytes.
const LOW_BYTES: u64 = 2 << 30;

pub(super) fn check(data: &Path) -> Vec<Finding> {
    if data.exists() && !data.is_dir() {
        let detail = format!("{} is no directory", data.display());
        return vec![Finding::failed("data directory", detail, "name another by --data")];
    }
    // What is not there yet is made by the start, in the nearest directory that is.
    let Some(dir) = data.ancestors().map(or_here).find(|dir| dir.is_dir()) else {
        let detail = format!("{}: no directory on the way to it exists", data.display());
        return vec![Finding::failed("data directory", detail, "name one by --data")];
    };
    vec![writable(data, dir), space(dir)]
}

/// The parent of a bare name is where we are.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn writable(data: &Path, dir: &Path) -> Finding {
    let tried = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
        file.write_all(b"headwater doctor")?;
        file.as_file().sync_all()
    });
    match tried {
        Ok(()) => Finding::ok("data directory", format!("{} can be written", data.display())),
        Err(error) => Finding::failed(
            "data directory",
            format!("{} cannot be written: {error}", dir.display()),
            "give it to the user that runs the server, on a file system that is mounted for writing",
        ),
    }
}

fn space(dir: &Path) -> Finding {
    match rustix::fs::statvfs(dir) {
        Ok(told) => judge(told.f_bavail.saturating_mul(told.f_frsize)),
        Err(error) => Finding::failed(
            "disk",
            format!("{}: its file system tells nothing of its room: {error}", dir.display()),
            "see that the file system is well: dmesg",
        ),
    }
}

fn judge(free_bytes: u64) -> Finding {
    let detail = format!("{} MiB are free", free_bytes >> 20);
    let mend = "give the file system more room: images, rows and the embedded log grow with what is written";
    if free_bytes < LEAST_BYTES {
        Finding::failed("disk", detail, mend)
    } else if free_bytes < LOW_BYTES {
        Finding::warning("disk", detail, mend)
    } else {
        Finding::ok("disk", detail)
    }
}

#[cfg(test)]
mod tests {
    use headwater_log::Verdict;

    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_it_would_be_made_in() {
        let dir = tempfile::tempdir().unwrap();
        let found = check(&dir.path().join("a/b"));
        assert_eq!(found[0].verdict, Verdict::Ok, "{found:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = check(file.path());
        assert_eq!(found[0].verdict, Verdict::Failed, "{found:?}");
    }

    #[test]
    fn little_room_is_a_warning_and_none_a_failure() {
        assert_eq!(judge(100 << 30).verdict, Verdict::Ok);
        assert_eq!(judge(1 << 30).verdict, Verdict::Warning);
        assert_eq!(judge(1 << 20).verdict, Verdict::Failed);
    }
}
