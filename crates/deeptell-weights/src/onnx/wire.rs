//! The wire format of protocol buffers (<https://protobuf.dev/programming-guides/encoding/>), as far
//! as ONNX needs it. Reading borrows: nothing is copied, whatever a file says.

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// A text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a text, message or packed list.
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a number stands where a text or message should")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed("a number is stored in another way than ONNX has it")),
        }
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The fields of a message, in the order of the file. It ends after an error.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next_field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed("a field has an impossible number"))?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).unwrap_or(usize::MAX);
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(self.array()?),
            _ => return Err(Malformed("a field is of a kind that ONNX does not have")),
        };
        Ok((number, value))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

const CUT: Malformed = Malformed("it ends within a field");

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.next_field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Takes a varint from the front.
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(CUT)?;
        *rest = after;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(Malformed("a number has more than 64 bits"))
}

/// A message that is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub(super) fn varint(&mut self, field: u32, value: u64) -> &mut Self {
        self.number(u64::from(field) << 3);
        self.number(value);
        self
    }

    pub(super) fn float(&mut self, field: u32, value: f32) -> &mut Self {
        self.number(u64::from(field) << 3 | 5);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.number(u64::from(field) << 3 | 2);
        self.number(value.len() as u64);
        self.bytes.extend(value);
        self
    }

    pub(super) fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(&mut self, field: u32, value: &Message) -> &mut Self {
        self.bytes(field, &value.bytes)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn number(&mut self, mut value: u64) {
        while value >= 128 {
            self.bytes.push(value as u8 | 128);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut inner = Message::default();
        inner.text(1, "gate").float(2, 0.5);
        let mut message = Message::default();
        message.varint(1, 300).varint(8, u64::MAX).message(7, &inner);
        let bytes = message.into_bytes();
        // 300 is the example of the specification: 1010 1100 0000 0010.
        assert_eq!(bytes[..3], [0x08, 0xac, 0x02]);
        let found: Vec<_> = fields(&bytes).map(Result::unwrap).collect();
        assert_eq!(found[0], (1, Value::Varint(300)));
        assert_eq!(found[1], (8, Value::Varint(u64::MAX)));
        let inner: Vec<_> = fields(found[2].1.bytes().unwrap()).map(Result::unwrap).collect();
        assert_eq!(inner[0].1.text(), Ok("gate"));
        assert_eq!(inner[1], (2, Value::Fixed32(0.5_f32.to_le_bytes())));
    }

    #[test]
    fn damaged_messages_end_in_an_error() {
        let damaged: [&[u8]; 6] = [
            &[0x08],       // no value
            &[0x0a, 5, 1], // five bytes, one is there
            &[0x0d, 1, 2], // four bytes, two are there
            &[0x0b],       // a group
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], // a length of 2^64 - 1
        ];
        for bytes in damaged {
            let found: Vec<_> = fields(bytes).collect();
            assert!(matches!(found.as_slice(), [Err(_)]), "{bytes:?}: {found:?}");
        }
        assert_eq!(fields(&[]).count(), 0);
    }
}
