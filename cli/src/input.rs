//! What a command reads: a file, or standard input; whole, and never without end.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

use crate::exit::Failure;

/// Where a command reads from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    Standard,
    File(&'a Path),
}

impl<'a> Input<'a> {
    /// The file, or standard input for `-`.
    pub(crate) fn named(path: &'a Path) -> Self {
        if path.as_os_str() == "-" { Self::Standard } else { Self::File(path) }
    }

    /// All of it, up to `most` bytes.
    ///
    /// # Errors
    /// With the name, when it cannot be read or is larger.
    pub(crate) fn read(self, most: u64) -> Result<Bytes, Failure> {
        let failed = |error: io::Error| Failure::failed(format_args!("{self}: {error}"));
        let mut bytes = Vec::new();
        let source: Box<dyn Read> = match self {
            Self::Standard => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path).map_err(failed)?),
        };
        source.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > most {
            let most = most / MIB;
            return Err(Failure::failed(format_args!("{self}: it is larger than {most} MiB")));
        }
        Ok(bytes.into())
    }
}

/// 1,048,576 bytes.
pub(crate) const MIB: u64 = 1024 * 1024;

impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("standard input"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_read_for_ever() {
        let told = Input::named(Path::new("/dev/zero")).read(MIB).unwrap_err().to_string();
        assert_eq!(told, "/dev/zero: it is larger than 1 MiB");
    }

    #[test]
    fn a_failure_names_the_file() {
        let told = Input::named(Path::new("/nonexistent/file")).read(MIB).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/file"), "{told}");
        assert_eq!(Input::named(Path::new("-")).to_string(), "standard input");
    }
}
