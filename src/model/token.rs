//! Consistency tokens: "show me at least what this command did", as opaque text.
//!
//! A token names a position. The checksum tells a mangled one from a real one; it is no secret, and
//! a token gives no rights.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Position;

/// The token of a position.
///
/// ```text
/// base64url( epoch u32 · partition u32 · offset u64 · CRC-32 of those u32 )    big-endian; stable
/// ```
#[must_use]
pub fn encode(position: Position) -> String {
    let mut bytes = Vec::with_capacity(20);
    bytes.extend_from_slice(&position.epoch.to_be_bytes());
    bytes.extend_from_slice(&position.partition.to_be_bytes());
    bytes.extend_from_slice(&position.offset.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that a token names; `None` when the text is no token.
#[must_use]
pub fn decode(token: &str) -> Option<Position> {
    let bytes: [u8; 20] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let (content, checksum) = bytes.split_at(16);
    if crc32fast::hash(content).to_be_bytes() != checksum {
        return None;
    }
    let number = |range: std::ops::Range<usize>| content.get(range).map(<[u8]>::to_vec);
    Some(Position {
        epoch: u32::from_be_bytes(number(0..4)?.try_into().ok()?),
        partition: u32::from_be_bytes(number(4..8)?.try_into().ok()?),
        offset: u64::from_be_bytes(number(8..16)?.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_position_and_a_mangled_one_names_none() {
        let position = Position { epoch: 1, partition: 17, offset: 1680 };
        let token = encode(position);
        assert_eq!(decode(&token), Some(position));
        let mangled = token.replacen('A', "B", 1);
        assert_eq!(decode(&mangled), None);
        assert_eq!(decode("nonsense"), None);
    }
}
