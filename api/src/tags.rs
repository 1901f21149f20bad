//! Entity tags: `ETag`, and the lists in `If-Match` and `If-None-Match`.

/// The entity tag of a revision: `"17"`.
pub fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// One entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    /// Whether it was written `W/"…"`.
    pub weak: bool,
    /// What stands between the quotes.
    pub value: String,
}

impl EntityTag {
    /// The revision it names, when it is one of ours: digits in their shortest form.
    pub fn revision(&self) -> Option<u64> {
        self.value.parse().ok().filter(|revision: &u64| revision.to_string() == self.value)
    }
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`
    Any,
    /// One tag or more.
    List(Vec<EntityTag>),
}

/// Why a header is no list of entity tags. The message says what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A tag without its quotes.
    #[error("an entity tag must be quoted: write \"17\", with the quotes, or *")]
    Unquoted,
    /// `*` beside tags.
    #[error("* stands alone: write either * or entity tags")]
    Mixed,
    /// A quote without its partner, a forbidden character, or nothing at all.
    #[error("not an entity tag: write \"17\", with the quotes, or *")]
    Malformed,
    /// More tags than anybody needs.
    #[error("more than 100 entity tags")]
    TooMany,
}

/// The most tags one header may have.
const MAX_TAGS: usize = 100;

impl EntityTags {
    /// Parses the value of one header; several headers are joined with a comma first.
    ///
    /// # Errors
    /// [`TagError`].
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let mut rest = text.trim_matches([' ', '\t', ',']);
        if rest == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        while !rest.is_empty() {
            if tags.len() >= MAX_TAGS {
                return Err(TagError::TooMany);
            }
            let (tag, after) = take_tag(rest)?;
            tags.push(tag);
            let trimmed = after.trim_start_matches([' ', '\t']);
            if !trimmed.is_empty() && !trimmed.starts_with(',') {
                return Err(TagError::Malformed);
            }
            rest = trimmed.trim_start_matches([' ', '\t', ',']);
        }
        if tags.is_empty() { Err(TagError::Malformed) } else { Ok(Self::List(tags)) }
    }

    /// Whether one of the tags is `tag` (the opaque part, without quotes), strong or weak: how
    /// `If-None-Match` compares.
    pub fn matches_weakly(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|candidate| candidate.value == tag),
        }
    }
}

fn take_tag(text: &str) -> Result<(EntityTag, &str), TagError> {
    let (weak, quoted) = match text.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some(opened) = quoted.strip_prefix('"') else {
        return Err(if quoted.starts_with('*') { TagError::Mixed } else { TagError::Unquoted });
    };
    let (value, after) = opened.split_once('"').ok_or(TagError::Malformed)?;
    if value.bytes().any(|byte| byte <= 0x20 || byte == 0x7F) {
        return Err(TagError::Malformed);
    }
    Ok((EntityTag { weak, value: value.to_owned() }, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<(bool, String)> {
        match EntityTags::parse(text).unwrap() {
            EntityTags::Any => panic!("{text} is no list"),
            EntityTags::List(tags) => tags.into_iter().map(|tag| (tag.weak, tag.value)).collect(),
        }
    }

    #[test]
    fn lists_of_tags_are_read() {
        assert_eq!(EntityTags::parse(" * "), Ok(EntityTags::Any));
        assert_eq!(list("\"17\""), [(false, "17".into())]);
        assert_eq!(
            list("W/\"17\" , \"a,b\",, \"\""),
            [(true, "17".into()), (false, "a,b".into()), (false, String::new())]
        );
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused_with_a_hint() {
        for (text, error) in [
            ("17", TagError::Unquoted),
            ("w/\"17\"", TagError::Unquoted),
            ("\"1\", 2", TagError::Unquoted),
            ("\"17", TagError::Malformed),
            ("", TagError::Malformed),
            (",", TagError::Malformed),
            ("\"1\" \"2\"", TagError::Malformed),
            ("\"a b\"", TagError::Malformed),
            ("*, \"1\"", TagError::Mixed),
            ("\"1\", *", TagError::Mixed),
        ] {
            assert_eq!(EntityTags::parse(text), Err(error), "{text}");
        }
        assert_eq!(EntityTags::parse(&"\"1\",".repeat(101)), Err(TagError::TooMany));
    }

    #[test]
    fn only_the_shortest_digits_are_a_revision() {
        let revision = |value: &str| EntityTag { weak: false, value: value.into() }.revision();
        assert_eq!(revision("17"), Some(17));
        assert_eq!(
            (revision("017"), revision("+17"), revision("x"), revision("")),
            (None, None, None, None)
        );
    }

    proptest! {
        #[test]
        fn the_tag_of_a_revision_names_it(revision in any::<u64>()) {
            let EntityTags::List(tags) = EntityTags::parse(&etag(revision)).unwrap() else { unreachable!() };
            prop_assert_eq!(tags[0].revision(), Some(revision));
        }

        #[test]
        fn no_header_panics(text in any::<String>()) {
            let _ = EntityTags::parse(&text);
        }
    }
}
