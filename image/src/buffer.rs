//! Memory for large forms: taken from the system in huge pages where it has them, because a page fault every
//! 4 KiB costs more than everything else that building an image does.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use crate::ImageError;

/// The least that is taken: one huge page.
const LEAST_BYTES: usize = 2 << 20;
/// The most that is taken on a guess. What is not touched costs nothing but addresses.
const MOST_GUESSED_BYTES: u64 = 1 << 30;

/// Bytes that grow at their end.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    map: Option<MmapMut>,
    len: usize,
    /// How much to take at first.
    guess: usize,
}

impl Buffer {
    /// A buffer that probably needs about so many bytes.
    pub(crate) fn guessed(bytes: u64) -> Self {
        let guess = usize::try_from(bytes.min(MOST_GUESSED_BYTES)).unwrap_or(0);
        Self { map: None, len: 0, guess }
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let start = self.len;
        self.grow(start.saturating_add(bytes.len()))?;
        self.get_mut(start..).unwrap_or_default().copy_from_slice(bytes);
        Ok(())
    }

    /// Makes it `len` bytes long; new ones are zero.
    pub(crate) fn grow(&mut self, len: usize) -> Result<(), ImageError> {
        let room = self.map.as_ref().map_or(0, |map| map.len());
        if len > room {
            let least = self.guess.max(room.saturating_mul(2)).max(LEAST_BYTES);
            let mut map = take(least.max(len)).map_err(|error| out_of_memory(len, &error))?;
            map.get_mut(..self.len).unwrap_or_default().copy_from_slice(self);
            self.map = Some(map);
        }
        self.len = self.len.max(len);
        Ok(())
    }
}

fn take(bytes: usize) -> io::Result<MmapMut> {
    let map = MmapMut::map_anon(bytes)?;
    // A system without huge pages serves with small ones.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

fn out_of_memory(bytes: usize, error: &io::Error) -> ImageError {
    ImageError::source(format!("no memory for {bytes} bytes: {error}"))
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.map.as_deref().and_then(|map| map.get(..self.len)).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().and_then(|map| map.get_mut(..self.len)).unwrap_or_default()
    }
}
