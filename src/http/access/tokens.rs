//! Bearer tokens: how they are configured, and whose a presented one is.
//!
//! Settings hold the SHA-256 of a token and never the token. A presented token is hashed and compared
//! with every configured hash, each time in constant time and always with all of them.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::Space;

/// `[[http.tokens]]`: one token, and what its holder may do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenOptions {
    /// Whose it is, for people; each name once.
    pub name: String,
    /// SHA-256 of the token, in 64 hexadecimal digits: `printf %s "$TOKEN" | sha256sum`.
    pub token_sha256: String,
    /// The spaces that it opens: names, beginnings that end in `*`, or `"*"` for all.
    pub spaces: Spaces,
    /// What its holder may do there.
    pub role: Role,
}

/// The hash is no secret, but it belongs into no log either.
impl fmt::Debug for TokenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, token_sha256: _, spaces, role } = self;
        f.debug_struct("TokenOptions")
            .field("name", name)
            .field("spaces", spaces)
            .field("role", role)
            .finish_non_exhaustive()
    }
}

/// What the holder of a token may do. Each role may all that the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read.
    Read,
    /// Write memories and relations.
    Write,
    /// Declare and erase spaces; with all spaces, also see and operate the server itself.
    Admin,
}

/// Which spaces a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a space, a beginning with a `*` at its end, or a list of these")]
pub enum Spaces {
    /// One pattern; `*`: all spaces.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Spaces {
    fn patterns(&self) -> &[String] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Any(patterns) => patterns,
        }
    }

    /// Whether `space` is among them. No space has a `*` in its name, so a pattern is never one.
    pub(in crate::http) fn contain(&self, space: &Space) -> bool {
        self.patterns().iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => space.as_str().starts_with(beginning),
            None => space.as_str() == pattern,
        })
    }

    /// Whether every space is among them.
    pub(in crate::http) fn are_all(&self) -> bool {
        self.patterns().iter().any(|pattern| pattern == "*")
    }

    fn check(&self) -> Result<(), String> {
        if self.patterns().is_empty() {
            return Err("opens no space; name one, or write \"*\" for all".to_owned());
        }
        for pattern in self.patterns() {
            let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
            if pattern != "*" && Space::new(beginning).is_err() {
                return Err(format!("names `{pattern}`, which is no space and no beginning of one"));
            }
        }
        Ok(())
    }
}

/// The holder of a token, once it has been presented.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Holder {
    pub(in crate::http) spaces: Spaces,
    pub(in crate::http) role: Role,
}

/// All tokens that open anything.
#[derive(Debug, Default)]
pub(in crate::http) struct Tokens(Vec<([u8; 32], Arc<Holder>)>);

impl Tokens {
    /// Takes the configured tokens.
    ///
    /// # Errors
    /// A sentence that names the token and the fix.
    pub(in crate::http) fn new(options: &[TokenOptions]) -> Result<Self, String> {
        let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        let token = |options: &TokenOptions| {
            let bad = |why: &str| format!("the token `{}` of `http.tokens` {why}", options.name);
            if options.name.is_empty() || !names.insert(options.name.clone()) {
                return Err(bad("needs a `name` of its own"));
            }
            let hash = hash_of(&options.token_sha256)
                .ok_or_else(|| bad("has a `token_sha256` that is not 64 hexadecimal digits"))?;
            if !hashes.insert(hash) {
                return Err(bad("has the `token_sha256` of another one"));
            }
            options.spaces.check().map_err(|why| bad(&why))?;
            Ok((hash, Arc::new(Holder { spaces: options.spaces.clone(), role: options.role })))
        };
        options.iter().map(token).collect::<Result<_, _>>().map(Self)
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token this is. Looks at all of them, however early one is found.
    pub(in crate::http) fn holder(&self, presented: &[u8]) -> Option<Arc<Holder>> {
        let hash: [u8; 32] = Sha256::digest(presented).into();
        let compare = |found, (known, holder): &([u8; 32], Arc<Holder>)| {
            if bool::from(known.ct_eq(&hash)) { Some(Arc::clone(holder)) } else { found }
        };
        self.0.iter().fold(None, compare)
    }
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, token: &str, spaces: Spaces) -> TokenOptions {
        let hash = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        TokenOptions { name: name.to_owned(), token_sha256: hash, spaces, role: Role::Read }
    }

    fn one(pattern: &str) -> Spaces {
        Spaces::One(pattern.to_owned())
    }

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let tokens = Tokens::new(&[options("a", "secret-a", one("a")), options("b", "secret-b", one("*"))]);
        let tokens = tokens.expect("good tokens");
        assert!(tokens.holder(b"secret-b").is_some_and(|holder| holder.spaces == one("*")));
        for other in ["secret", "secret-bb", "", &options("b", "secret-b", one("*")).token_sha256] {
            assert_eq!(tokens.holder(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn spaces_are_names_beginnings_or_all() {
        let space = |name: &str| Space::new(name).expect("a space");
        assert!(one("a").contain(&space("a")) && !one("a").contain(&space("ab")));
        assert!(one("a-*").contain(&space("a-1")) && !one("a-*").contain(&space("a")));
        assert!(one("*").contain(&space("x")) && one("*").are_all() && !one("a*").are_all());
        let several = Spaces::Any(vec!["a".to_owned(), "b-*".to_owned()]);
        assert!(several.contain(&space("b-2")) && !several.contain(&space("c")));
    }

    #[test]
    fn a_token_that_can_open_nothing_is_refused_by_its_name() {
        let good = || options("a", "secret", one("a"));
        let bad = [
            vec![TokenOptions { token_sha256: "secret".to_owned(), ..good() }],
            vec![TokenOptions { token_sha256: "+f".repeat(32), ..good() }],
            vec![TokenOptions { spaces: Spaces::Any(Vec::new()), ..good() }],
            vec![TokenOptions { spaces: one("a b"), ..good() }],
            vec![TokenOptions { spaces: one("a*b"), ..good() }],
            vec![good(), options("b", "secret", one("a"))],
            vec![good(), options("a", "other", one("a"))],
        ];
        for options in bad {
            let refusal = Tokens::new(&options).map(drop).expect_err("refused");
            assert!(refusal.contains("the token `"), "{refusal}");
        }
    }

    #[test]
    fn a_hash_is_in_no_debug_text() {
        let options = options("a", "secret", one("a"));
        assert!(!format!("{options:?}").contains(&options.token_sha256));
    }
}
