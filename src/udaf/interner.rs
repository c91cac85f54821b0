//! Strings numbered in the order of their first appearance, so that sets of ids can be sets of `u32`.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Distinct strings in one buffer, each with a code: 0 for the first, 1 for the next.
///
/// Memory: the bytes of the distinct strings, 8 bytes for each offset and about 5 to 10 for its place in the table.
#[derive(Debug)]
pub struct Interner {
    codes: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    latest: Option<u32>,
    hasher: DefaultHashBuilder,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            codes: HashTable::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
            latest: None,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl Interner {
    /// The string's code; a new one when it has not been seen.
    ///
    /// # Errors
    /// When there are more than `u32::MAX` distinct strings.
    pub fn intern(&mut self, text: &str) -> Result<u32> {
        // The lines of an order mostly stand together: then the code is the last one.
        if let Some(latest) = self.latest
            && text_of(&self.bytes, &self.ends, latest) == text.as_bytes()
        {
            return Ok(latest);
        }
        let Self { codes, bytes, ends, hasher, .. } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let found = codes.find(hash, |code| text_of(bytes, ends, *code) == text.as_bytes()).copied();
        let code = if let Some(code) = found {
            code
        } else {
            let code = u32::try_from(ends.len())
                .map_err(|_| exec_datafusion_err!("more than {} distinct ids in one partition", u32::MAX))?;
            bytes.extend_from_slice(text.as_bytes());
            ends.push(bytes.len());
            codes.insert_unique(hash, code, |code| hasher.hash_one(text_of(bytes, ends, *code)));
            code
        };
        self.latest = Some(code);
        Ok(code)
    }

    /// The bytes of the string with this code.
    pub fn get(&self, code: u32) -> &[u8] {
        text_of(&self.bytes, &self.ends, code)
    }

    /// The string with this code.
    ///
    /// # Errors
    /// Never: only strings are interned.
    pub fn text(&self, code: u32) -> Result<&str> {
        std::str::from_utf8(self.get(code)).map_err(|error| exec_datafusion_err!("an id is no text: {error}"))
    }

    /// The distinct strings, in the order of their codes.
    ///
    /// # Errors
    /// Never: only strings are interned.
    pub fn to_array(&self) -> Result<ArrayRef> {
        let mut strings = StringBuilder::with_capacity(self.ends.len(), self.bytes.len());
        for code in 0..self.ends.len() as u32 {
            strings.append_value(self.text(code)?);
        }
        Ok(Arc::new(strings.finish()))
    }

    /// The number of distinct strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes on the heap.
    pub fn size(&self) -> usize {
        self.codes.allocation_size() + self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

fn text_of<'a>(bytes: &'a [u8], ends: &[usize], code: u32) -> &'a [u8] {
    let code = code as usize;
    let start = if code == 0 { 0 } else { ends[code - 1] };
    &bytes[start..ends[code]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_distinct_strings_and_gives_them_back() {
        let mut interner = Interner::default();
        let codes: Vec<u32> =
            ["b", "", "b", "a", "", "a"].iter().map(|text| interner.intern(text).unwrap()).collect();
        assert_eq!(codes, [0, 1, 0, 2, 1, 2]);
        assert_eq!([interner.get(0), interner.get(1), interner.get(2)], [&b"b"[..], b"", b"a"]);
    }
}
