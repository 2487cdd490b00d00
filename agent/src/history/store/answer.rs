//! The answers of Prometheus' HTTP API, read as strictly as they are defined and no further: what a store adds is
//! passed over.
//!
//! A matrix is read straight into one flat list, since an answer has millions of values. An answer that says that it is
//! partial (`isPartial` of VictoriaMetrics, a warning of Thanos, Cortex or Mimir) is a fault and never data: a sum over
//! a part is a wrong number, and a missing series would look like a process that has gone. Remarks about the query
//! itself (`PromQL info:`, `PromQL warning:`) say nothing about completeness.
//!
//! Sources: Prometheus, "HTTP API"; VictoriaMetrics, "Cluster version", partial responses; Thanos, "Query",
//! partial response strategy.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::Fault;
use crate::excerpt::excerpt;
use crate::labels::Labels;

const MESSAGE_CHARACTERS: usize = 200;

/// What the `data` of an answer is to be read as.
pub(super) trait Shape {
    /// What it is read into.
    type Value: Default;

    /// How many samples it holds.
    fn samples(_value: &Self::Value) -> usize {
        0
    }

    /// Reads `data`.
    fn read<'de, D: Deserializer<'de>>(data: D) -> Result<Self::Value, D::Error>;
}

/// A list of names: `/api/v1/label/NAME/values`.
pub(super) struct Names;

/// A list of label sets: `/api/v1/series`.
pub(super) struct SeriesList;

/// A matrix: `/api/v1/query_range`, or `/api/v1/query` of a range selector.
pub(super) struct MatrixShape;

/// An instant vector: `/api/v1/query` of anything else; each series has one value.
pub(super) struct VectorShape;

/// The values of many series.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Matrix {
    /// The labels of each series, `__name__` among them, and where its values end in `values`.
    pub(super) series: Vec<(Labels, usize)>,
    /// Milliseconds since the Unix epoch and the value; one series after the other.
    pub(super) values: Vec<(i64, f64)>,
}

impl Matrix {
    /// Series by series.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Labels, &[(i64, f64)])> {
        let mut from = 0;
        self.series.iter().map(move |(labels, to)| {
            let own = &self.values[from..*to];
            from = *to;
            (labels, own)
        })
    }
}

/// Reads an answer whose HTTP status was a success, if it has no more than so many samples.
pub(super) fn read<S: Shape>(body: &[u8], samples: usize) -> Result<S::Value, Fault> {
    let unreadable = |error: serde_json::Error| {
        Fault::Unreadable(excerpt(&error.to_string(), MESSAGE_CHARACTERS))
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let answer = (&mut json)
        .deserialize_map(AnswerVisitor::<S>(PhantomData))
        .map_err(unreadable)?;
    json.end().map_err(unreadable)?;
    if answer.status != "success" {
        let message = answer.error.unwrap_or_else(|| "no reason given".to_owned());
        return Err(Fault::Refused(excerpt(&message, MESSAGE_CHARACTERS)));
    }
    let partial = answer.warnings.iter().find(|text| says_partial(text));
    match (answer.is_partial, partial) {
        (false, None) => match answer.data {
            Some(data) if S::samples(&data) > samples => Err(Fault::TooMany(samples)),
            Some(data) => Ok(data),
            None => Err(Fault::Unreadable("it has no `data`".to_owned())),
        },
        (_, told) => Err(Fault::Partial(
            told.map(|text| excerpt(text, MESSAGE_CHARACTERS))
                .unwrap_or_default(),
        )),
    }
}

/// The API's own words in the body of an error.
pub(super) fn error_message(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(answer.get("error")?.as_str()?.to_owned())
}

/// Whether a warning is about the data and not about the query.
fn says_partial(warning: &str) -> bool {
    !warning.starts_with("PromQL info:") && !warning.starts_with("PromQL warning:")
}

struct Answer<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
    warnings: Vec<String>,
    is_partial: bool,
}

struct AnswerVisitor<S>(PhantomData<S>);

impl<'de, S: Shape> Visitor<'de> for AnswerVisitor<S> {
    type Value = Answer<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `status` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut answer = Answer {
            status: String::new(),
            data: None,
            error: None,
            warnings: Vec::new(),
            is_partial: false,
        };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "status" => answer.status = map.next_value()?,
                "data" => answer.data = Some(map.next_value_seed(Data::<S>(PhantomData))?),
                "error" => answer.error = Some(map.next_value()?),
                "warnings" => answer.warnings = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "isPartial" => answer.is_partial = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(answer)
    }
}

struct Data<S>(PhantomData<S>);

impl<'de, S: Shape> DeserializeSeed<'de> for Data<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, data: D) -> Result<S::Value, D::Error> {
        S::read(data)
    }
}

/// `null` is an empty list: Go's encoder writes it so.
fn list<'de, D: Deserializer<'de>, T: serde::Deserialize<'de>>(
    data: D,
) -> Result<Vec<T>, D::Error> {
    let list: Option<Vec<T>> = serde::Deserialize::deserialize(data)?;
    Ok(list.unwrap_or_default())
}

impl Shape for Names {
    type Value = Vec<String>;

    fn read<'de, D: Deserializer<'de>>(data: D) -> Result<Self::Value, D::Error> {
        list(data)
    }
}

impl Shape for SeriesList {
    type Value = Vec<Labels>;

    fn read<'de, D: Deserializer<'de>>(data: D) -> Result<Self::Value, D::Error> {
        list(data)
    }
}

impl Shape for MatrixShape {
    type Value = Matrix;

    fn samples(value: &Matrix) -> usize {
        value.values.len()
    }

    fn read<'de, D: Deserializer<'de>>(data: D) -> Result<Self::Value, D::Error> {
        data.deserialize_map(DataVisitor("matrix"))
    }
}

impl Shape for VectorShape {
    type Value = Matrix;

    fn samples(value: &Matrix) -> usize {
        value.values.len()
    }

    fn read<'de, D: Deserializer<'de>>(data: D) -> Result<Self::Value, D::Error> {
        data.deserialize_map(DataVisitor("vector"))
    }
}

/// Data of this `resultType`.
struct DataVisitor(&'static str);

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Matrix;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `resultType` and `result`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Matrix, A::Error> {
        let mut matrix = Matrix::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "resultType" => {
                    let kind: Cow<'de, str> = map.next_value()?;
                    if kind != self.0 {
                        return Err(A::Error::custom(format_args!(
                            "`resultType` is `{}` and not `{}`",
                            excerpt(&kind, 20),
                            self.0
                        )));
                    }
                }
                "result" => map.next_value_seed(Rows(&mut matrix))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(matrix)
    }
}

/// The series of a matrix.
struct Rows<'m>(&'m mut Matrix);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, rows: D) -> Result<(), D::Error> {
        rows.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(Row(self.0))?.is_some() {}
        Ok(())
    }
}

/// One series of a matrix.
struct Row<'m>(&'m mut Matrix);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, row: D) -> Result<(), D::Error> {
        row.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series with `metric` and `values`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut labels = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "metric" => labels = Some(map.next_value::<Labels>()?),
                "values" => map.next_value_seed(Values(&mut self.0.values))?,
                "value" => {
                    let (seconds, value): (f64, Number) = map.next_value()?;
                    self.0.values.push((millis(seconds), value.0));
                }
                // Native histograms, which no level is.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let labels = labels.ok_or_else(|| A::Error::missing_field("metric"))?;
        self.0.series.push((labels, self.0.values.len()));
        Ok(())
    }
}

/// `[[seconds, "value"], ...]`, added to a list.
struct Values<'m>(&'m mut Vec<(i64, f64)>);

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, values: D) -> Result<(), D::Error> {
        values.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while let Some((seconds, value)) = values.next_element::<(f64, Number)>()? {
            self.0.push((millis(seconds), value.0));
        }
        Ok(())
    }
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A number in quotes, as the API writes them.
struct Number(f64);

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        text.deserialize_str(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in quotes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
        text.parse()
            .map(Number)
            .map_err(|_| E::custom(format_args!("`{}` is not a number", excerpt(text, 20))))
    }
}

#[cfg(test)]
mod tests;
