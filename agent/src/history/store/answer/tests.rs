use super::*;

fn matrix(body: &str) -> Result<Matrix, Fault> {
    read::<MatrixShape>(body.as_bytes(), usize::MAX)
}

#[test]
fn a_matrix_is_read_series_by_series() {
    let got = matrix(
        r#"{"status":"success","isPartial":false,"data":{"resultType":"matrix","result":[
        {"metric":{"__name__":"x","a":"\u00fc\"\n"},"values":[[1700000000.25,"1"],[1700000001,"NaN"]]},
        {"metric":{},"values":[[-1,"+Inf"]],"histograms":[[1,{"count":"1"}]]},
        {"histograms":[],"metric":{"b":""}}
        ],"stats":{"x":1}},"infos":["PromQL info: metric might not be a counter"],"warnings":null}"#,
    )
    .expect("a matrix");
    let rows: Vec<(String, String)> = got
        .iter()
        .map(|(labels, values)| (labels.to_string(), format!("{values:?}")))
        .collect();
    let expected = [
        (
            r#"{__name__="x",a="ü\"\n"}"#,
            "[(1700000000250, 1.0), (1700000001000, NaN)]",
        ),
        ("{}", "[(-1000, inf)]"),
        ("{}", "[]"),
    ];
    let expected = expected.map(|(labels, values)| (labels.to_owned(), values.to_owned()));
    assert_eq!(rows, expected);
}

#[test]
fn an_empty_answer_is_an_answer() {
    for result in ["null", "[]"] {
        let body =
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#);
        assert_eq!(matrix(&body), Ok(Matrix::default()));
    }
    assert_eq!(
        read::<Names>(br#"{"status":"success","data":null}"#, 0),
        Ok(Vec::new())
    );
    let series = read::<SeriesList>(
        br#"{"status":"success","data":[{"__name__":"up","job":"a"}]}"#,
        0,
    );
    assert_eq!(
        series,
        Ok(vec![
            [("__name__", "up"), ("job", "a")].into_iter().collect()
        ])
    );
}

#[test]
fn what_is_partial_is_no_data() {
    let with = |extra: &str| {
        matrix(&format!(
            r#"{{"status":"success",{extra}"data":{{"resultType":"matrix","result":[]}}}}"#
        ))
    };
    assert_eq!(
        with(r#""isPartial":true,"#),
        Err(Fault::Partial(String::new()))
    );
    assert_eq!(
        with(r#""warnings":["receive series from Addr: store-1: unavailable"],"#),
        Err(Fault::Partial(
            "receive series from Addr: store-1: unavailable".to_owned()
        ))
    );
    let harmless = with(r#""warnings":["PromQL warning: mixed floats and histograms"],"#);
    assert_eq!(harmless, Ok(Matrix::default()));
}

#[test]
fn what_is_no_answer_is_told_so() {
    let unreadable = |body: &str, expected: &str| match matrix(body) {
        Err(Fault::Unreadable(text)) => assert!(text.contains(expected), "{text}"),
        other => panic!("{body}: {other:?}"),
    };
    unreadable("<html>", "expected value");
    unreadable("[]", "expected an object with `status` and `data`");
    unreadable(r#"{"status":"success"}"#, "it has no `data`");
    unreadable(
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        "not `matrix`",
    );
    let with = |row: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{row}]}}}}"#)
    };
    unreadable(&with(r#"{"values":[]}"#), "missing field `metric`");
    unreadable(
        &with(r#"{"metric":{},"values":[[1,2]]}"#),
        "expected a number in quotes",
    );
    unreadable(
        &with(r#"{"metric":{},"values":[[1,"0x1"]]}"#),
        "`0x1` is not a number",
    );
    unreadable(
        &with(r#"{"metric":{"a":"1","a":"2"},"values":[]}"#),
        "there twice",
    );
    unreadable(&with(r#"{"metric":{},"values":[[1,"1"]]}"#)[..60], "EOF");
    unreadable(&format!("{} x", with("")), "trailing characters");
    assert_eq!(
        matrix(r#"{"status":"error","errorType":"execution","error":"too many samples"}"#),
        Err(Fault::Refused("too many samples".to_owned()))
    );
}

#[test]
fn the_words_of_an_error_are_found() {
    let body = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    assert_eq!(error_message(body).as_deref(), Some("parse error"));
    assert_eq!(error_message(b"502 Bad Gateway"), None);
}
