//! A run as events of OpenLineage (version 2 of its schema): which datasets went in and came out.

use std::io::Write;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use url::{Position, Url};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Report;
use crate::location::Location;
use crate::tables;

const PRODUCER: &str = concat!("regulars/", env!("CARGO_PKG_VERSION"));
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// The header that a token goes into stands in the environment, as other OpenLineage clients have it.
const KEY_VARIABLE: &str = "OPENLINEAGE_API_KEY";
const PATIENCE: Duration = Duration::from_secs(5);

/// An event: `START`, `COMPLETE`, `FAIL` or `ABORT`.
pub fn event(
    config: Option<&Config>,
    run_id: uuid::Uuid,
    event_type: &str,
    report: Option<&Report>,
    error: Option<&Error>,
) -> Value {
    let facet = |name: &str, mut content: Value| {
        content["_producer"] = json!(PRODUCER);
        content["_schemaURL"] = json!(format!("https://openlineage.io/spec/facets/1-0-0/{name}.json"));
        content
    };
    let mut run_facets = json!({});
    if let Some(date) = config.and_then(|config| config.run_date) {
        let nominal = json!({ "nominalStartTime": format!("{date}T00:00:00Z") });
        run_facets["nominalTime"] = facet("NominalTimeRunFacet", nominal);
    }
    if let Some(error) = error {
        let failure = json!({ "message": error.to_string(), "programmingLanguage": "rust" });
        run_facets["errorMessage"] = facet("ErrorMessageRunFacet", failure);
    }
    let input =
        config.and_then(|config| config.input.as_ref()).and_then(|input| dataset(&input.location, ""));
    let outputs: Vec<Value> = report.map_or_else(Vec::new, |report| {
        let output = config.and_then(|config| config.output.as_ref()).map_or("", |output| &output.location);
        let table = |(name, table): (&String, &crate::job::TableReport)| {
            let mut dataset = dataset(output, name)?;
            dataset["facets"] =
                json!({ "schema": facet("SchemaDatasetFacet", json!({ "fields": fields(name) })) });
            let written = json!({ "rowCount": table.rows, "size": table.bytes });
            dataset["outputFacets"] =
                json!({ "outputStatistics": facet("OutputStatisticsOutputDatasetFacet", written) });
            Some(dataset)
        };
        report.tables.iter().filter_map(table).collect()
    });
    json!({
        "eventType": event_type,
        "eventTime": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": { "runId": run_id.to_string(), "facets": run_facets },
        "job": { "namespace": "regulars", "name": "run" },
        "inputs": input.into_iter().collect::<Vec<_>>(),
        "outputs": outputs,
    })
}

/// A dataset as OpenLineage names it: its store, and the path there.
fn dataset(location: &str, below: &str) -> Option<Value> {
    let url = Location::parse(location).ok()?.url;
    let namespace = match url.scheme() {
        "file" => "file".to_owned(),
        _ => url[..Position::BeforePath].to_owned(),
    };
    let path = url.path().trim_end_matches('/');
    let name = if below.is_empty() { path.to_owned() } else { format!("{path}/{below}") };
    Some(json!({ "namespace": namespace, "name": name }))
}

fn fields(table: &str) -> Vec<Value> {
    let schema = tables::table(table).map(tables::Table::schema);
    let field = |field: &datafusion::arrow::datatypes::FieldRef| json!({ "name": field.name(), "type": field.data_type().to_string() });
    schema.iter().flat_map(|schema| schema.fields()).map(field).collect()
}

/// Posts an event to an HTTP endpoint, or appends it to a file as a line.
///
/// # Errors
/// When it is not taken within a few seconds.
pub async fn send(target: &str, event: &Value) -> Result<()> {
    // a path or query may hold a token
    let named = Url::parse(target).map_or(target.to_owned(), |url| {
        url.host_str().map_or(target.to_owned(), |host| format!("{}://{host}", url.scheme()))
    });
    let failed = |message: &str| Error::new(ErrorKind::External, message).with("openlineage", &named);
    if !target.starts_with("http://") && !target.starts_with("https://") {
        let path = target.strip_prefix("file://").unwrap_or(target);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| writeln!(file, "{event}"));
        return written.map_err(|error| failed("the file cannot be written").caused_by(error));
    }
    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    let client = client.map_err(|error| failed("there is no HTTP client").caused_by(error))?;
    let mut request = client.post(target).header("content-type", "application/json").body(event.to_string());
    if let Ok(key) = std::env::var(KEY_VARIABLE) {
        request = request.bearer_auth(key);
    }
    let sent = request.send().await.and_then(reqwest::Response::error_for_status);
    // an error's URL could hold a secret
    sent.map(drop).map_err(|error| failed("the endpoint did not take it").caused_by(error.without_url()))
}
