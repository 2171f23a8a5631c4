//! Reading and writing the fields of a frame's body: big-endian integers, and byte strings behind
//! a 32-bit length. Reading never allocates more than the bytes that are there.

use crate::codec::FrameError;

/// Appends fields to a buffer.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn array(&mut self, value: &[u8; 32]) {
        self.0.extend_from_slice(value);
    }

    pub(crate) fn count(&mut self, what: &'static str, count: usize, limit: usize) -> Result<(), FrameError> {
        match u32::try_from(count) {
            Ok(short) if count <= limit => {
                self.u32(short);
                Ok(())
            }
            _ => Err(FrameError::TooLong { what, found: count, limit }),
        }
    }

    pub(crate) fn bytes(&mut self, what: &'static str, value: &[u8], limit: usize) -> Result<(), FrameError> {
        self.count(what, value.len(), limit)?;
        self.0.extend_from_slice(value);
        Ok(())
    }

    pub(crate) fn optional_bytes(
        &mut self,
        what: &'static str,
        value: Option<&[u8]>,
        limit: usize,
    ) -> Result<(), FrameError> {
        self.u8(u8::from(value.is_some()));
        value.map_or(Ok(()), |value| self.bytes(what, value, limit))
    }

    pub(crate) fn optional_u64(&mut self, value: Option<u64>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            self.u64(value);
        }
    }
}

/// Takes fields from the front of a body.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], FrameError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(FrameError::Truncated { what })?;
        self.0 = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(FrameError::Truncated { what })?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, FrameError> {
        self.fixed::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, FrameError> {
        self.fixed(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FrameError> {
        self.fixed(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, FrameError> {
        self.fixed(what).map(u64::from_be_bytes)
    }

    pub(crate) fn array(&mut self, what: &'static str) -> Result<[u8; 32], FrameError> {
        self.fixed(what)
    }

    /// A count within `limit`, of entries that take at least `min_len` bytes each: so a `Vec` of
    /// that many entries is only made when their bytes are there.
    pub(crate) fn count(&mut self, what: &'static str, limit: usize, min_len: usize) -> Result<usize, FrameError> {
        let found = self.u32(what)? as usize;
        if found > limit {
            return Err(FrameError::TooLong { what, found, limit });
        }
        if found.saturating_mul(min_len) > self.0.len() {
            return Err(FrameError::Truncated { what });
        }
        Ok(found)
    }

    pub(crate) fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], FrameError> {
        let len = self.count(what, limit, 1)?;
        self.take(what, len)
    }

    pub(crate) fn present(&mut self, what: &'static str) -> Result<bool, FrameError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FrameError::BadValue { what }),
        }
    }

    pub(crate) fn optional_bytes(&mut self, what: &'static str, limit: usize) -> Result<Option<Vec<u8>>, FrameError> {
        Ok(if self.present(what)? { Some(self.bytes(what, limit)?.to_vec()) } else { None })
    }

    pub(crate) fn optional_u64(&mut self, what: &'static str) -> Result<Option<u64>, FrameError> {
        Ok(if self.present(what)? { Some(self.u64(what)?) } else { None })
    }
}
