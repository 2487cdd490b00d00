//! Which of the fields that mean something to an intermediary a head has.
//!
//! A gateway asks some thirty questions about fields that are hardly ever there, and each asked of the map costs a hash of
//! the name. One look at the names that are there answers them all.

use std::ops::BitOr;

use http::HeaderMap;

/// A set of such fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present(u32);

impl Present {
    pub(crate) const CONNECTION: Self = Self(1);
    pub(crate) const EXPECT: Self = Self(1 << 1);
    pub(crate) const FORWARDED: Self = Self(1 << 2);
    /// Fields of a single connection that only ever go away.
    pub(crate) const OTHER_HOP_BY_HOP: Self = Self(1 << 3);
    pub(crate) const TE: Self = Self(1 << 4);
    pub(crate) const TRACE: Self = Self(1 << 5);
    pub(crate) const TRAILER: Self = Self(1 << 6);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 7);
    pub(crate) const UPGRADE: Self = Self(1 << 8);
    pub(crate) const VIA: Self = Self(1 << 9);
    pub(crate) const X_FORWARDED: Self = Self(1 << 10);
    pub(crate) const X_REQUEST_DEADLINE: Self = Self(1 << 11);
    pub(crate) const X_REQUEST_ID: Self = Self(1 << 12);
    /// Fields of a single connection, but `Connection` itself.
    pub(crate) const HOP_BY_HOP: Self = Self(
        Self::EXPECT.0
            | Self::OTHER_HOP_BY_HOP.0
            | Self::TE.0
            | Self::TRANSFER_ENCODING.0
            | Self::UPGRADE.0,
    );

    /// Those of a head.
    pub(crate) fn of(fields: &HeaderMap) -> Self {
        fields
            .keys()
            .fold(Self(0), |known, name| known | Self::named(name.as_str()))
    }

    /// Whether any of these is there.
    pub(crate) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    fn named(name: &str) -> Self {
        match name.as_bytes() {
            b"connection" => Self::CONNECTION,
            b"expect" => Self::EXPECT,
            b"forwarded" => Self::FORWARDED,
            b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authenticate"
            | b"proxy-authorization" => Self::OTHER_HOP_BY_HOP,
            b"te" => Self::TE,
            b"traceparent" | b"tracestate" => Self::TRACE,
            b"trailer" => Self::TRAILER,
            b"transfer-encoding" => Self::TRANSFER_ENCODING,
            b"upgrade" => Self::UPGRADE,
            b"via" => Self::VIA,
            b"x-forwarded-for" | b"x-forwarded-host" | b"x-forwarded-proto" => Self::X_FORWARDED,
            b"x-request-deadline-ms" => Self::X_REQUEST_DEADLINE,
            b"x-request-id" => Self::X_REQUEST_ID,
            _ => Self(0),
        }
    }
}

impl BitOr for Present {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_is_there_is_seen_and_nothing_else() {
        let value = HeaderValue::from_static("a");
        let mut fields = HeaderMap::new();
        fields.insert("accept", value.clone());
        fields.insert("x-forwarded", value.clone());
        assert_eq!(Present::of(&fields), Present(0));
        fields.insert("Via", value.clone());
        fields.append("TE", value.clone());
        fields.append("TE", value);
        let present = Present::of(&fields);
        assert_eq!(present, Present::VIA | Present::TE);
        assert!(present.has(Present::HOP_BY_HOP) && !present.has(Present::UPGRADE));
    }

    #[test]
    fn every_field_of_a_single_connection_is_known() {
        for name in &super::super::HOP_BY_HOP {
            let known = Present::named(name.as_str());
            assert!(
                known.has(Present::HOP_BY_HOP | Present::CONNECTION),
                "{name}"
            );
        }
    }

    #[test]
    fn names_are_told_apart_however_they_came() {
        for name in ["Transfer-Encoding", "TRANSFER-ENCODING"] {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            assert_eq!(Present::named(name.as_str()), Present::TRANSFER_ENCODING);
        }
    }
}
