//! The tables behind the index: namespaces with their totals, content types, actors, subscription.

use headwater_schemas::{Namespace, NamespaceTotals, Totals};

use crate::bytes::{Scan, put_namespace_totals, put_text};
use crate::strings::{self, scan_texts};
use crate::{ImageError, Subscription};

/// What the tables hold.
#[derive(Debug)]
pub(crate) struct Tables {
    /// The namespaces with entries, in order of name: the rows that records point to.
    pub(crate) occupied: Vec<Namespace>,
    /// Those and the empty ones.
    pub(crate) totals: Totals,
    pub(crate) content_types: Vec<Box<str>>,
    pub(crate) actors: Vec<Box<str>>,
    pub(crate) subscription: Option<Subscription>,
}

impl Tables {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let empty = self.totals.namespaces().filter(|(_, part)| part.entries == 0);
        let occupied = self.occupied.iter().map(|name| (name, self.totals.of(name.as_str())));
        let rows: Vec<(&Namespace, NamespaceTotals)> =
            occupied.chain(empty.map(|(name, part)| (name, *part))).collect();
        put_count(&mut out, self.occupied.len());
        put_count(&mut out, rows.len());
        for (name, part) in rows {
            put_text(&mut out, name.as_str());
            put_namespace_totals(&mut out, &part);
        }
        strings::put(&self.content_types, &mut out);
        strings::put(&self.actors, &mut out);
        out.push(u8::from(self.subscription.is_some()));
        if let Some(subscription) = &self.subscription {
            put_count(&mut out, subscription.namespaces().count());
            subscription.namespaces().for_each(|name| put_text(&mut out, name.as_str()));
        }
        // The next part, the trailer, begins on a multiple of 8.
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    pub(crate) fn scan(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut scan = Scan::new(bytes, "tables of the mapped image");
        let (occupied_rows, rows) = (scan.u32()?, scan.u32()?);
        let (mut occupied, mut parts) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let name = namespace(&mut scan)?;
            let part = scan.namespace_totals()?;
            if (row < occupied_rows) != (part.entries > 0) {
                return Err(scan.wrong("mix namespaces with and without entries"));
            }
            if row < occupied_rows {
                occupied.push(name.clone());
            }
            parts.push((name, part));
        }
        if !occupied.is_sorted_by(|a, b| a < b) {
            return Err(scan.wrong("have namespaces out of order"));
        }
        let (content_types, actors) = (scan_texts(&mut scan)?, scan_texts(&mut scan)?);
        let subscription = match scan.take(1)? {
            [0] => None,
            _ => {
                let names = (0..scan.u32()?).map(|_| namespace(&mut scan));
                Some(Subscription::new(names.collect::<Result<Vec<_>, _>>()?))
            }
        };
        let totals = Totals::from_namespaces(parts);
        Ok(Self { occupied, totals, content_types, actors, subscription })
    }
}

fn namespace(scan: &mut Scan<'_>) -> Result<Namespace, ImageError> {
    let name = scan.text()?;
    Namespace::parse(name).map_err(|error| scan.wrong(&error.to_string()))
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}
