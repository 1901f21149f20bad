//! How files come to be, and who shares them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use headwater_image::{ImageError, Keep, Manifest, mapped_name, sweep};
use tempfile::tempdir;

use crate::model::few;

#[test]
fn nothing_but_the_image_is_left_in_the_directory() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    manifest.write(dir.path()).unwrap();
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let json = format!("{}.json", manifest.name);
    assert_eq!(names, [manifest.name, json, mapped_name(&model.head, None)]);
}

#[test]
fn a_whole_file_that_is_there_is_shared_and_not_written_again() {
    let model = few();
    let dir = tempdir().unwrap();
    let path = dir.path().join(mapped_name(&model.head, None));
    model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    let inode = || fs::metadata(&path).unwrap().ino();
    let first = inode();
    let again = model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    assert_eq!(inode(), first);
    assert_eq!(again.path(), Some(path.as_path()));
}

#[test]
fn a_damaged_file_that_is_there_is_replaced_and_its_readers_keep_what_they_have() {
    let model = few();
    let dir = tempdir().unwrap();
    let path = dir.path().join(mapped_name(&model.head, None));
    let reader = model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[700] ^= 1;
    // Under a new inode: writing into a mapped file is what nobody does.
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    model.assert_same(&model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap());
    model.assert_same(&reader);
}

#[test]
fn an_image_outlives_its_file() {
    let model = few();
    let dir = tempdir().unwrap();
    let mapped = model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    let copied = mapped.persist(dir.path(), Keep::Copied).unwrap();
    drop(dir);
    model.assert_same(&mapped);
    model.assert_same(&copied);
}

#[test]
fn a_directory_that_is_not_there_is_named_in_the_error() {
    let model = few();
    let dir = tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    for error in [
        model.try_write(&nowhere).unwrap_err(),
        model.mapped(None).persist(&nowhere, Keep::Mapped).unwrap_err(),
    ] {
        assert!(matches!(&error, ImageError::Io { .. }), "{error}");
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}

#[test]
fn a_manifest_is_kept_beside_its_image() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let path = manifest.write(dir.path()).unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), manifest);
    fs::write(&path, b"{}").unwrap();
    let error = Manifest::read(&path).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains(".json"), "{error}");
}

#[test]
fn sweeping_removes_what_a_killed_writer_left_and_nothing_else() {
    let model = few();
    let dir = tempdir().unwrap();
    model.write(dir.path());
    fs::write(dir.path().join(".1-ab.hwi.77.0.hw-tmp"), b"half").unwrap();
    let now = SystemTime::now();
    assert_eq!(sweep(dir.path(), now - Duration::from_secs(3_600)).unwrap(), 0);
    assert_eq!(sweep(dir.path(), now + Duration::from_secs(60)).unwrap(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
