//! A folder of files is a source like any other: watched, atomic, and never taken half.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use headwater::testing::until;
use headwater::{Client, Handle, Status};
use serde_json::{Value, json};

use crate::stream::{SOON, soon};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, value)| folder.write(path, value));
        folder
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join("config").join(path)
    }

    fn write(&self, path: &str, value: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }

    async fn client(&self) -> Client {
        let builder = Client::builder().files(self.path("")).startup_timeout(SOON);
        soon(builder.namespaces(["global", "app"]).connect()).await.unwrap()
    }
}

/// Waits until the state is as wanted: files have no revision that a test could know.
async fn when(hw: &Client, wanted: impl Fn(&Client) -> bool) -> Status {
    soon(until(hw, |status| status.processed_revision == status.revision && wanted(hw))).await
}

fn read(hw: &Client, key: &str) -> Option<Value> {
    hw.get(key).unwrap()
}

#[tokio::test]
async fn a_folder_is_read_by_namespace_key_and_type() {
    let folder = Folder::new(&[
        ("global/db/pool.json", r#"{"max": 10}"#),
        ("app/db/pool.json", r#"{"max": 20}"#),
        ("app/greeting.txt", "hello\n"),
        ("app/log_level", "info\n"),
        ("app/limits.yaml", "a: 1\n"),
    ]);
    let hw = folder.client().await;
    assert_eq!(read(&hw, "db/pool"), Some(json!({ "max": 20 })));
    assert_eq!(hw.get::<String>("greeting").unwrap().as_deref(), Some("hello"));
    assert_eq!(hw.get::<String>("log_level").unwrap().as_deref(), Some("info"));
    assert_eq!(hw.view().get_raw("limits").unwrap().content_type, "application/yaml");
    let status = hw.status();
    assert_eq!((status.stale, status.refused_files), (false, Vec::new()));
    assert_eq!(hw.view().get_raw("db/pool").unwrap().actor, "files");
}

#[tokio::test]
async fn files_written_renamed_over_and_deleted_reach_the_handles() {
    let folder = Folder::new(&[("app/n.json", "1")]);
    let hw = folder.client().await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    folder.write("app/n.json", "2");
    when(&hw, |_| *n.load() == 2).await;
    // As editors save: another file, then its name.
    folder.write("app/.n.json.swp", "garbage");
    folder.write("app/n.json~", "1");
    fs::rename(folder.path("app/.n.json.swp"), folder.path("app/.other")).unwrap();
    folder.write("app/.new", "3");
    fs::rename(folder.path("app/.new"), folder.path("app/n.json")).unwrap();
    when(&hw, |_| *n.load() == 3).await;
    folder.write("app/deep/er/m.json", "4");
    when(&hw, |hw| read(hw, "deep/er/m") == Some(json!(4))).await;
    fs::remove_file(folder.path("app/n.json")).unwrap();
    when(&hw, |_| n.is_deleted()).await;
    assert_eq!((*n.load(), hw.status().refused_files), (3, Vec::new()));
}

#[tokio::test]
async fn a_bad_file_harms_only_its_key_and_is_reported_until_it_is_mended() {
    let folder = Folder::new(&[("app/a.json", "1"), ("app/b.json", "1")]);
    let hw = folder.client().await;
    folder.write("app/a.json", "{ half");
    folder.write("app/b.json", "2");
    folder.write("stray.json", "1");
    folder.write("app/twice.json", "1");
    folder.write("app/twice.txt", "1");
    let big = "x".repeat(256 * 1024 + 1);
    folder.write("app/big.txt", &big);
    let status =
        when(&hw, |hw| hw.status().refused_files.len() == 4 && read(hw, "b") == Some(json!(2)))
            .await;
    assert_eq!(read(&hw, "a"), Some(json!(1)), "the last good value stays");
    let reasons: Vec<_> = status
        .refused_files
        .iter()
        .map(|file| (file.path.to_str().unwrap(), file.reason.as_str()))
        .collect();
    let about = |path: &str| reasons.iter().find(|(at, _)| *at == path).unwrap().1;
    assert!(about("app/a.json").contains("no JSON"), "{reasons:?}");
    assert!(about("app/big.txt").contains("larger than 262144 bytes"), "{reasons:?}");
    assert!(about("app/twice.txt").contains("keep one"), "{reasons:?}");
    assert!(about("stray.json").contains("namespace"), "{reasons:?}");
    assert!(!status.stale);
    folder.write("app/a.json", "3");
    when(&hw, |hw| read(hw, "a") == Some(json!(3)) && hw.status().refused_files.len() == 3).await;
}

/// As the kubelet mounts a ConfigMap: files are links through `..data`, which is swapped whole.
fn mount(folder: &Folder, version: &str, files: &[(&str, &str)]) {
    for (key, value) in files {
        folder.write(&format!("app/..{version}/{key}"), value);
        let link = folder.path(&format!("app/{key}"));
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(key), link).unwrap();
        }
    }
    let next = folder.path("app/..data_tmp");
    symlink(format!("..{version}"), &next).unwrap();
    fs::rename(next, folder.path("app/..data")).unwrap();
}

#[tokio::test]
async fn swaps_of_data_are_seen_whole_and_never_mixed() {
    let folder = Folder::new(&[]);
    let numbers = |n: u32| (0..20).map(move |key| (format!("k{key}.json"), n.to_string()));
    let swap = |n: u32| {
        let files: Vec<_> = numbers(n).collect();
        let files: Vec<_> =
            files.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        mount(&folder, &format!("v{n}"), &files);
    };
    swap(0);
    let hw = folder.client().await;
    let mut commits = hw.commits();
    let keys: Vec<Handle<u32>> =
        (0..20).map(|key| hw.handle(&format!("k{key}")).unwrap()).collect();
    for n in 1..=30 {
        swap(n);
        // Sometimes in the middle of a reading.
        tokio::time::sleep(Duration::from_millis(u64::from(n * 7 % 40))).await;
    }
    when(&hw, |_| keys.iter().all(|key| *key.load() == 30)).await;
    let last = hw.view().revision();
    loop {
        let headwater::Event::Commit(applied) = soon(commits.next()).await.unwrap() else {
            panic!("nothing is missed");
        };
        assert_eq!(applied.effects.len(), 20, "every swap that was seen is one commit of all keys");
        if applied.head.revision == last {
            break;
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_gone_leaves_the_last_state_and_comes_back() {
    let folder = Folder::new(&[("app/n.json", "1")]);
    let hw = folder.client().await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    fs::rename(folder.path(""), folder.0.path().join("away")).unwrap();
    let status = soon(until(&hw, |status| status.stale)).await;
    assert!(status.last_error.unwrap().contains("cannot be read"));
    assert_eq!((*n.load(), n.is_deleted()), (1, false));
    folder.write("app/n.json", "2");
    when(&hw, |hw| *n.load() == 2 && !hw.status().stale).await;
    // What stands there now is watched, not what was moved away.
    folder.write("app/n.json", "3");
    when(&hw, |_| *n.load() == 3).await;
}

#[tokio::test]
async fn the_start_waits_for_a_folder_and_says_what_is_missing() {
    let folder = Folder::new(&[]);
    let builder = Client::builder()
        .files(folder.path(""))
        .namespaces(["app"])
        .startup_timeout(Duration::from_millis(300));
    let refused = builder.clone().connect().await.unwrap_err().to_string();
    assert!(refused.contains("cannot be read: No such file"), "{refused}");
    let starting = tokio::spawn(builder.startup_timeout(SOON).connect());
    folder.write("app/n.json", "1");
    let hw = soon(starting).await.unwrap().unwrap();
    when(&hw, |hw| read(hw, "n") == Some(json!(1))).await;
}

#[tokio::test]
async fn links_in_a_circle_pipes_and_links_to_nowhere_are_reported_and_harm_nobody() {
    let folder = Folder::new(&[("app/n.json", "1"), ("app/gone.json", "1")]);
    let hw = folder.client().await;
    symlink(folder.path("app"), folder.path("app/circle")).unwrap();
    fs::remove_file(folder.path("app/gone.json")).unwrap();
    symlink("nowhere", folder.path("app/gone.json")).unwrap();
    folder.write("app/n.json", "2");
    let status =
        when(&hw, |hw| read(hw, "n") == Some(json!(2)) && hw.status().refused_files.len() == 2)
            .await;
    assert!(status.refused_files.iter().all(|file| file.reason.contains("cannot be read")));
    assert_eq!(read(&hw, "gone"), Some(json!(1)), "a link to nowhere is no deletion");
}

#[tokio::test]
async fn a_tree_larger_than_one_commit_is_there_whole_at_the_start_and_too_much_at_once_is_refused()
{
    let value = json!("v".repeat(200_000)).to_string();
    let folder = Folder::new(&[]);
    for key in 0..15 {
        folder.write(&format!("app/k{key}.json"), &value);
    }
    let hw = folder.client().await;
    assert_eq!(hw.view().prefix("").count(), 15);
    let other = json!("w".repeat(200_000)).to_string();
    let away = folder.0.path().join("next");
    fs::create_dir_all(away.join("app")).unwrap();
    (0..15).for_each(|key| fs::write(away.join(format!("app/k{key}.json")), &other).unwrap());
    fs::rename(folder.path(""), folder.0.path().join("old")).unwrap();
    fs::rename(&away, folder.path("")).unwrap();
    let refused = |status: &Status| {
        status.last_error.as_ref().is_some_and(|error| error.contains("change less at once"))
    };
    soon(until(&hw, refused)).await;
    assert!(hw.view().prefix("").all(|(_, entry)| entry.value == value.as_bytes()));
}

#[tokio::test]
async fn a_file_without_rights_keeps_its_value() {
    let folder = Folder::new(&[("app/secret.json", "1"), ("app/n.json", "1")]);
    let hw = folder.client().await;
    let secret = folder.path("app/secret.json");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read(&secret).is_ok();
    folder.write("app/n.json", "2");
    let refused = usize::from(!is_root);
    when(&hw, |hw| read(hw, "n") == Some(json!(2)) && hw.status().refused_files.len() == refused)
        .await;
    assert_eq!(read(&hw, "secret"), Some(json!(1)));
}

#[tokio::test]
async fn files_and_another_source_are_refused_and_a_cache_is_left_alone() {
    let folder = Folder::new(&[("app/n.json", "1")]);
    let both = Client::builder().files(folder.path("")).relay("http://127.0.0.1:1").connect().await;
    assert!(matches!(both, Err(headwater::ConnectError::Settings(_))), "{both:?}");
    let cache = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let builder = Client::builder().files(folder.path("")).cache_dir(cache.path());
        let hw = builder.namespaces(["app"]).connect().await.unwrap();
        assert_eq!((read(&hw, "n"), hw.status().alarm), (Some(json!(1)), None));
        soon(hw.close()).await;
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}
