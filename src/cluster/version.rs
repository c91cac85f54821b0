//! Processes of different versions refuse each other: plans name our functions, whose meaning may differ.
//!
//! Whoever speaks to the scheduler, a client or an executor, tells its version as the user agent; the scheduler answers another
//! one with a refusal. Executors thus never get to the tasks of another version.

use axum::extract::Request;
use axum::http::header::USER_AGENT;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::client;

/// Lets requests of our own version through.
pub async fn same_version(request: Request, next: Next) -> Response {
    let told = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match refusal(told) {
        None => next.run(request).await,
        Some(message) => {
            tracing::warn!(user_agent = told, "refused");
            tonic::Status::failed_precondition(message).into_http::<axum::body::Body>().into_response()
        }
    }
}

/// Why a process that calls itself so is refused, if it is.
fn refusal(user_agent: &str) -> Option<String> {
    let own = client::USER_AGENT;
    let told = user_agent.split_whitespace().find(|product| product.starts_with("regulars/"));
    if told == Some(own) {
        return None;
    }
    let told = told.map_or_else(|| "no regulars at all".to_owned(), |told| told.replace('/', " "));
    let own = own.replace('/', " ");
    Some(format!(
        "the scheduler is {own} and the other side is {told}; run the same version of regulars everywhere"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_version_is_let_through_and_any_other_is_told_both() {
        assert_eq!(refusal(&format!("{} tonic/0.14", client::USER_AGENT)), None);
        let other = refusal("regulars/99.0.0 tonic/0.14").unwrap();
        assert!(other.contains("regulars 99.0.0") && other.contains(env!("CARGO_PKG_VERSION")), "{other}");
        assert!(refusal("tonic/0.14").unwrap().contains("no regulars"));
    }
}
