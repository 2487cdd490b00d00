//! The bodies on either side of the gateway, and the watch over their progress.
//!
//! Requests go upstream as a [`RequestBody`], answers go to the client as a [`GatewayBody`]; both are concrete types, since
//! there are only a few things a body can be. Neither changes the wire: frames, `is_end_stream` and `size_hint` pass
//! through, or a declared length would turn into chunks. What a response body holds (an upstream's connection, a place
//! among the requests in flight) belongs to [`crate::upstream::UpstreamBody`]; the request's owner is held here, last.

mod progress;
mod request;
mod response;
mod upload;

pub use progress::{Progress, UploadFault};
pub(crate) use request::StopDesk;
pub use request::{RequestBody, RequestBodyError};
pub use response::GatewayBody;
pub use upload::UploadBound;
