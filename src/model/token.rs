//! Consistency tokens: what a writer hands to a reader that must see the write.
//!
//! A token is a position in opaque text, with a checksum that tells a mangled one from a real one.
//! It carries no secret and grants nothing.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Position, version::OFFSET_MAX};

/// "Show me nothing older than this." Met when the command at the position has ended.
///
/// Text form, stable: unpadded URL-safe base64 of
/// ```text
/// u32 epoch, u32 partition, u64 offset, u32 CRC-32 of these sixteen bytes      all big-endian
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub Position);

/// Text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no consistency token; send one that a write has answered with, unchanged")]
pub struct InvalidToken;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { epoch, partition, offset } = self.0;
        let mut bytes = Vec::with_capacity(20);
        bytes.extend(epoch.to_be_bytes());
        bytes.extend(partition.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken)?;
        let (position, checksum) = bytes.split_at_checked(16).ok_or(InvalidToken)?;
        if crc32fast::hash(position).to_be_bytes() != checksum {
            return Err(InvalidToken);
        }
        let number = |part: Option<&[u8]>| -> Result<u32, InvalidToken> {
            let part = part.and_then(|part| part.try_into().ok()).ok_or(InvalidToken)?;
            Ok(u32::from_be_bytes(part))
        };
        let epoch = number(position.get(0..4))?;
        let partition = number(position.get(4..8))?;
        let (high, low) = (number(position.get(8..12))?, number(position.get(12..16))?);
        let offset = u64::from(high) << 32 | u64::from(low);
        if offset > OFFSET_MAX {
            return Err(InvalidToken);
        }
        Ok(Self(Position { epoch, partition, offset }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_a_mangled_one_is_refused() {
        let token = Token(Position { epoch: 1, partition: 17, offset: 1680 });
        let text = token.to_string();
        assert_eq!(text, "AAAAAQAAABEAAAAAAAAGkCzD8CA", "stable");
        assert_eq!(text.parse(), Ok(token));
        for at in 0..text.len() {
            let mut mangled = text.clone().into_bytes();
            mangled[at] = if mangled[at] == b'Q' { b'R' } else { b'Q' };
            let mangled = String::from_utf8(mangled).expect("ASCII");
            assert_eq!(mangled.parse::<Token>(), Err(InvalidToken), "{mangled}");
        }
        for bad in ["", "AbC…", "1.17.1680", &text[..20], &format!("{text}AA")] {
            assert_eq!(bad.parse::<Token>(), Err(InvalidToken), "{bad}");
        }
    }
}
