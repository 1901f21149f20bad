//! Which name a file gets by what is in it, and the other way round.

use std::path::Path;

/// Media types by the ends of names; the first end of a type is the one that is written.
const TYPES: &[(&str, &str)] = &[
    ("json", "application/json"),
    ("txt", "text/plain"),
    ("conf", "text/plain"),
    ("cfg", "text/plain"),
    ("ini", "text/plain"),
    ("properties", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("csv", "text/csv"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("toml", "application/toml"),
    ("bin", "application/octet-stream"),
];

/// The media type of a file by the end of its name.
pub(crate) fn media_type(path: &Path) -> &'static str {
    let end = path.extension().and_then(|end| end.to_str());
    let known = TYPES.iter().find(|(known, _)| Some(*known) == end);
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// The end of the name of a file with values of this type, without the dot.
pub(crate) fn extension(media_type: &str) -> &'static str {
    let essence = headwater_api::essence(media_type);
    match TYPES.iter().find(|(_, known)| *known == essence) {
        Some((end, _)) => end,
        None if headwater_api::is_json(media_type) => "json",
        None if headwater_api::is_text(media_type) => "txt",
        None => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_is_read_as_what_it_was() {
        for (_, media_type) in TYPES {
            let name = format!("k.{}", extension(media_type));
            assert_eq!(super::media_type(Path::new(&name)), *media_type);
        }
        assert_eq!(extension("application/problem+json"), "json");
        assert_eq!(extension("text/x-lua; charset=utf-8"), "txt");
        assert_eq!(media_type(Path::new("no-end")), "application/octet-stream");
    }
}
