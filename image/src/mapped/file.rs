//! The mapped form on disk: the last known good state of the next start.

use std::fs;
use std::path::Path;

use headwater_schemas::{Digest, Head, NamespaceTotals, Totals, entry_digest};

use super::Mapped;
use super::layout::Layout;
use super::lookup::Memory;
use super::tables::Tables;
use super::trailer::{TRAILER_BYTES, Trailer};
use crate::map::map;
use crate::publish::publish;
use crate::{ImageError, Subscription};

/// How far the bytes of a file are to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nobody vouches for them: hash every byte before use.
    Verify,
    /// This process wrote and verified them: check header and tables only, which takes microseconds.
    JustWritten,
}

/// Where the bytes are to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In the file: shared between processes, and the system's to drop from memory.
    Mapped,
    /// In this process, for disks that cannot be trusted: a file cut short under a map ends the process.
    Copied,
}

/// The name of the mapped form at `head`: `<revision>-<hash>.hwm`, or of a subscription
/// `<revision>-<hash>-<hash of its names>.hwm`, so that processes with the same share the file.
pub fn mapped_name(head: &Head, subscription: Option<&Subscription>) -> String {
    let tag = subscription.map(|subscription| format!("-{}", subscription.tag()));
    format!("{}-{}{}.hwm", head.revision, head.hash, tag.unwrap_or_default())
}

impl Mapped {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ImageError::Io`]; [`ImageError::Damaged`] or [`ImageError::Format`] when the file is not a whole image of
    /// this format: remove it and take another source.
    pub fn open(path: &Path, trust: Trust, keep: Keep) -> Result<Self, ImageError> {
        let memory = match keep {
            Keep::Copied => {
                let bytes = fs::read(path).map_err(ImageError::io("read", path))?;
                Memory::Copied { bytes, path: path.to_path_buf() }
            }
            Keep::Mapped => Memory::Mapped { map: map(path)?, path: path.to_path_buf() },
        };
        let (layout, tables) = read(memory.bytes(), trust).map_err(|error| error.in_file(path))?;
        Ok(Self::new(memory, layout, tables))
    }

    /// Writes it into `dir` under [`mapped_name`] and gives the same state as it lies there; a file that is
    /// already there and whole is taken as it is. Two processes may do this at once.
    ///
    /// # Errors
    /// [`ImageError::Io`], or [`ImageError::Damaged`] when the disk gives back other bytes than it was given. The
    /// directory is then as before, and this image as good as ever.
    pub fn persist(&self, dir: &Path, keep: Keep) -> Result<Self, ImageError> {
        let name = mapped_name(self.head(), self.subscription());
        let path = dir.join(&name);
        if let Ok(there) = Self::open(&path, Trust::Verify, keep)
            && there.describes(self)
        {
            return Ok(there);
        }
        let body = self.body();
        let trailer = Trailer::of(body, self.layout());
        publish(
            dir,
            &name,
            |out| {
                out.write(body)?;
                out.write(&trailer.encode())
            },
            |path, ()| trailer.check_content(Trailer::split(&map(path)?)?.0),
        )?;
        Self::open(&path, Trust::JustWritten, keep)
    }

    fn describes(&self, other: &Self) -> bool {
        self.layout() == other.layout() && self.totals() == other.totals()
    }

    /// The bytes without the trailer that only a file has.
    fn body(&self) -> &[u8] {
        let bytes = self.bytes();
        match self.memory() {
            Memory::Owned(_) => bytes,
            _ => bytes.get(..bytes.len().saturating_sub(TRAILER_BYTES)).unwrap_or_default(),
        }
    }

    /// Hashes every byte of the file again; nothing to do for one that was built in memory.
    ///
    /// # Errors
    /// [`ImageError::Damaged`].
    pub fn verify(&self) -> Result<(), ImageError> {
        match self.memory() {
            Memory::Owned(_) => Ok(()),
            _ => {
                let (body, trailer) = Trailer::split(self.bytes())?;
                trailer.check_content(body)
            }
        }
    }

    /// Computes the totals anew from every entry (about half a second per million) and compares: what a snapshotter
    /// or an auditor does, where [`Self::verify`] only says that the bytes are those once written.
    ///
    /// # Errors
    /// [`ImageError::Totals`] with the namespace that differs.
    pub fn verify_digests(&self) -> Result<(), ImageError> {
        let mut parts: Vec<(&str, NamespaceTotals)> = Vec::new();
        for (namespace, key, entry) in self {
            if parts.last().is_none_or(|(last, _)| *last != namespace) {
                let mod_revision = self.totals().of(namespace).mod_revision;
                parts.push((namespace, NamespaceTotals { mod_revision, ..Default::default() }));
            }
            if let Some((_, part)) = parts.last_mut() {
                part.entries += 1;
                part.bytes = part.bytes.saturating_add(entry.value.len() as u64);
                part.digest = part.digest.plus(entry_digest(namespace, key, entry));
            }
        }
        check_parts(self.totals(), &parts)
    }
}

fn read(file: &[u8], trust: Trust) -> Result<(Layout, Tables), ImageError> {
    let (body, trailer) = Trailer::split(file)?;
    let layout = Layout::scan(body)?;
    trailer.check_meta(body, &layout)?;
    if trust == Trust::Verify {
        trailer.check_content(body)?;
    }
    let tables = Tables::scan(body.get(layout.tables.clone()).unwrap_or_default())?;
    let totals = &tables.totals;
    if (totals.entries(), totals.digest()) != (layout.entries, layout.digest) {
        return Err(ImageError::damaged("the totals do not add up to the header's"));
    }
    Ok((layout, tables))
}

/// Compares what was counted, by namespace in order, with what is claimed.
pub(crate) fn check_parts(
    claimed: &Totals,
    counted: &[(&str, NamespaceTotals)],
) -> Result<(), ImageError> {
    for (name, part) in counted {
        let claimed = claimed.of(name);
        if claimed != *part {
            return Err(ImageError::totals(format!("{name}: claimed {claimed:?}, found {part:?}")));
        }
    }
    let entries: u64 = counted.iter().map(|(_, part)| part.entries).sum();
    let digest = counted.iter().fold(Digest::default(), |sum, (_, part)| sum.plus(part.digest));
    if (entries, digest) != (claimed.entries(), claimed.digest()) {
        return Err(ImageError::totals(format!(
            "claimed {} entries with digest {}, found {entries} with {digest}",
            claimed.entries(),
            claimed.digest()
        )));
    }
    Ok(())
}
