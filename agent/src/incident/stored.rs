//! How leak-detect's types are written into state: that package has no serializer, and no reason to have one.
//!
//! Times are whole milliseconds since the Unix epoch. JSON has no infinity, so that a bound which is infinite is `null`.

/// A time as milliseconds.
pub(crate) mod time {
    use leak_detect::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        at: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.millis())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        Ok(Timestamp::from_millis(i64::deserialize(deserializer)?))
    }
}

/// A time as milliseconds, or `null`.
pub(crate) mod time_or_none {
    use leak_detect::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::ref_option,
        reason = "serde's `with` passes a reference to the field"
    )]
    pub(crate) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::millis).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_millis))
    }
}

/// Lower bound, estimate and upper bound; `null` for a bound that is infinite.
pub(crate) mod interval {
    use leak_detect::Interval;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        interval: &Interval,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        [
            finite(interval.low),
            finite(interval.estimate),
            finite(interval.high),
        ]
        .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Interval, D::Error> {
        let [low, estimate, high] = <[Option<f64>; 3]>::deserialize(deserializer)?;
        Ok(Interval {
            low: low.unwrap_or(f64::NEG_INFINITY),
            estimate: estimate.unwrap_or(f64::INFINITY),
            high: high.unwrap_or(f64::INFINITY),
        })
    }
}

/// A detector's tier as a word.
pub(crate) mod tier {
    use leak_detect::Tier;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(tier: &Tier, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match tier {
            Tier::Exact => "exact",
            Tier::Level => "level",
        })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Tier, D::Error> {
        match &*String::deserialize(deserializer)? {
            "exact" => Ok(Tier::Exact),
            "level" => Ok(Tier::Level),
            other => Err(de::Error::unknown_variant(other, &["exact", "level"])),
        }
    }
}
