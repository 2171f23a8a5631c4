//! The few items of CBOR (RFC 8949) that evidence is made of: definite lengths only, each with a bound.

use ciborium_io::Read as _;
use ciborium_ll::{Decoder, Encoder, Header};

/// These bytes are not what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unexpected;

/// Reads items off a slice.
pub(crate) struct Reader<'a> {
    decoder: Decoder<&'a [u8]>,
    length: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::from(bytes), length: bytes.len() }
    }

    fn pull(&mut self) -> Result<Header, Unexpected> {
        self.decoder.pull().map_err(|_| Unexpected)
    }

    fn expect(&mut self, header: Header) -> Result<(), Unexpected> {
        if self.pull()? == header { Ok(()) } else { Err(Unexpected) }
    }

    pub(crate) fn tag(&mut self, tag: u64) -> Result<(), Unexpected> {
        self.expect(Header::Tag(tag))
    }

    pub(crate) fn array(&mut self, items: usize) -> Result<(), Unexpected> {
        self.expect(Header::Array(Some(items)))
    }

    pub(crate) fn map(&mut self, entries: usize) -> Result<(), Unexpected> {
        self.expect(Header::Map(Some(entries)))
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Unexpected> {
        match self.pull()? {
            Header::Positive(number) => Ok(number),
            _ => Err(Unexpected),
        }
    }

    pub(crate) fn key(&mut self, key: &str) -> Result<(), Unexpected> {
        self.expect(Header::Text(Some(key.len())))?;
        if self.body(key.len())? == key.as_bytes() { Ok(()) } else { Err(Unexpected) }
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Result<Vec<u8>, Unexpected> {
        match self.pull()? {
            Header::Bytes(Some(length)) if length <= most => self.body(length),
            _ => Err(Unexpected),
        }
    }

    pub(crate) fn exactly<const N: usize>(&mut self) -> Result<[u8; N], Unexpected> {
        self.bytes(N)?.try_into().map_err(|_| Unexpected)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, Unexpected> {
        let mut body = vec![0; length];
        self.decoder.read_exact(&mut body).map_err(|_| Unexpected)?;
        Ok(body)
    }

    /// Nothing follows.
    pub(crate) fn finish(mut self) -> Result<(), Unexpected> {
        if self.decoder.offset() == self.length { Ok(()) } else { Err(Unexpected) }
    }
}

/// Writes items, each in its shortest form.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    fn push(&mut self, header: Header) -> &mut Self {
        // Memory takes everything.
        let _ = Encoder::from(&mut self.0).push(header);
        self
    }

    pub(crate) fn tag(&mut self, tag: u64) -> &mut Self {
        self.push(Header::Tag(tag))
    }

    pub(crate) fn array(&mut self, items: usize) -> &mut Self {
        self.push(Header::Array(Some(items)))
    }

    pub(crate) fn map(&mut self, entries: usize) -> &mut Self {
        self.push(Header::Map(Some(entries)))
    }

    pub(crate) fn unsigned(&mut self, number: u64) -> &mut Self {
        self.push(Header::Positive(number))
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.push(Header::Text(Some(key.len())));
        self.0.extend_from_slice(key.as_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Header::Bytes(Some(bytes.len())));
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let bytes =
            Writer::default().tag(60_000).array(2).bytes(b"quote").map(1).key("nonce").unsigned(70_000).finish();
        assert_eq!(bytes[..3], [0xd9, 0xea, 0x60], "tag 60000");
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            reader.tag(60_000)?;
            reader.array(2)?;
            let quote = reader.bytes(5)?;
            reader.map(1)?;
            reader.key("nonce")?;
            let number = reader.unsigned()?;
            reader.finish()?;
            Ok((quote, number))
        };
        assert_eq!(read(&bytes), Ok((b"quote".to_vec(), 70_000)));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Err(Unexpected), "{end}");
        }
        assert_eq!(read(&[&bytes[..], &[0]].concat()), Err(Unexpected), "something follows");
        assert_eq!(Reader::new(&bytes[4..]).bytes(4), Err(Unexpected), "longer than allowed");
        // A length that no memory has is refused before any is taken.
        assert_eq!(Reader::new(&[0x5b, 0xff, 0, 0, 0, 0, 0, 0, 0]).bytes(1 << 20), Err(Unexpected));
        assert_eq!(Reader::new(&[0x5f, 0x41, 1, 0xff]).bytes(9), Err(Unexpected), "an indefinite length");
    }
}
