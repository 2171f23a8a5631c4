//! JSON written by hand, for what is asked for by the thousand: receipts and logs.
//!
//! A general serialiser looks at each character of each string for what must be escaped. Nothing here can hold any
//! such character: names are constants, values are hex digits.

use alloy_primitives::{B256, hex};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{HexBytes, Quantity};

/// What writes itself as JSON text.
pub(crate) trait Text {
    /// Appends its text.
    fn write(&self, out: &mut Vec<u8>);
}

impl<T: Text> Text for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: Text> Text for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, self.iter());
    }
}

/// Appends a list of what `values` yields.
pub(super) fn write_list<T: Text>(out: &mut Vec<u8>, values: impl Iterator<Item = T>) {
    out.push(b'[');
    let empty = out.len();
    for value in values {
        if out.len() > empty {
            out.push(b',');
        }
        value.write(out);
    }
    out.push(b']');
}

impl<T: Text> Text for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (*self).write(out);
    }
}

/// The text within an answer that is serialised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<T>(pub(crate) T);

impl<T: Text> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Vec::new();
        self.0.write(&mut text);
        let text = String::from_utf8(text).map_err(serde::ser::Error::custom)?;
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl Text for HexBytes<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"0x");
        let start = out.len();
        out.resize(start + 2 * self.0.len(), 0);
        // Cannot fail: there is exactly as much room as is needed.
        let _ = hex::encode_to_slice(self.0, &mut out[start..]);
        out.push(b'"');
    }
}

impl Text for B256 {
    fn write(&self, out: &mut Vec<u8>) {
        HexBytes(self.as_slice()).write(out);
    }
}

impl Text for Quantity {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        self.with_text(|text| out.extend_from_slice(text.as_bytes()));
        out.push(b'"');
    }
}

/// An object in the making. Its names are constants without anything to escape.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Object<'a> {
    pub(super) const fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    /// Writes a field's name and gives the place for its value.
    pub(super) fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn field(&mut self, name: &'static str, value: impl Text) {
        value.write(self.name(name));
    }

    pub(super) fn quantity(&mut self, name: &'static str, value: impl Into<Quantity>) {
        self.field(name, value.into());
    }

    pub(super) fn bytes(&mut self, name: &'static str, bytes: impl AsRef<[u8]>) {
        self.field(name, HexBytes(bytes.as_ref()));
    }

    /// Ends the object, which has at least one field.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}
