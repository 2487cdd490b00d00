//! The list of routes: a path, and either one upstream or several calls.

use checked_yaml::{Fields, Mistakes, Node};

use super::limits::request_body;
use super::optional;
use super::upstreams::Upstreams;
use crate::config::values::{count, duration, duration_or_off};
use crate::config::{
    Action, BodyLimits, Call, DEFAULT_BODY_IDLE_TIMEOUT, DEFAULT_FAN_OUT_DEADLINE,
    DEFAULT_PROXY_DEADLINE, DEFAULT_ROUTE_REQUESTS, DEFAULT_TUNNEL_IDLE_TIMEOUT, Policy,
    RouteConfig,
};
use crate::route::{Pattern, Template};

/// The key of a fan-out's answer that holds its failures.
const ERRORS: &str = "errors";
/// More than any descriptor limit allows.
const MOST_REQUESTS: usize = 10_000_000;

pub(super) fn read(
    fields: &mut Fields<'_>,
    upstreams: &Upstreams,
    body_limits: BodyLimits,
    mistakes: &mut Mistakes,
) -> Vec<RouteConfig> {
    let Some(list) = fields.required("routes", mistakes) else {
        return Vec::new();
    };
    let items = list.items(mistakes);
    if items.is_empty() {
        list.reject(mistakes, "needs at least one route");
    }
    let mut seen: Vec<(Pattern, usize)> = Vec::new();
    let mut routes = Vec::new();
    for item in items {
        let mut fields = item.fields(mistakes);
        let path = fields.required("path", mistakes);
        let pattern = path.and_then(|node| pattern(node, &mut seen, mistakes));
        routes.extend(route(
            &mut fields,
            pattern,
            upstreams,
            body_limits,
            mistakes,
        ));
        fields.finish(mistakes);
    }
    routes
}

fn pattern(
    node: &Node,
    seen: &mut Vec<(Pattern, usize)>,
    mistakes: &mut Mistakes,
) -> Option<Pattern> {
    let text = node.text(mistakes)?;
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            node.reject(mistakes, format!("`{text}`: {error}"));
            return None;
        }
    };
    if let Some((other, line)) = seen.iter().find(|(other, _)| other.same_paths(&pattern)) {
        node.reject(
            mistakes,
            format!("`{text}` matches the same paths as `{other}` in line {line}"),
        );
    }
    seen.push((pattern.clone(), node.place.line));
    Some(pattern)
}

/// `None` where a mistake leaves nothing to build; the list has it then.
fn route(
    fields: &mut Fields<'_>,
    path: Option<Pattern>,
    upstreams: &Upstreams,
    body_limits: BodyLimits,
    mistakes: &mut Mistakes,
) -> Option<RouteConfig> {
    let deadline = optional(fields, "deadline", mistakes, duration);
    let request_body = request_body(fields, body_limits, mistakes);
    let mut requests = |key| {
        optional(fields, key, mistakes, |node, mistakes| {
            count(node, 1, MOST_REQUESTS, mistakes)
        })
        .unwrap_or(DEFAULT_ROUTE_REQUESTS)
    };
    let (max_in_flight, max_pending) = (requests("max_in_flight"), requests("max_pending"));
    let proxy = fields.optional("proxy");
    let fan_out = fields.optional("fan_out");
    match (proxy, fan_out) {
        (None, None) => {
            let place = fields.place().clone();
            mistakes.add(place, "needs `proxy` or `fan_out`");
        }
        (Some(_), Some(node)) => {
            node.reject(mistakes, "stands beside `proxy`: a route does one of them")
        }
        _ => {}
    }
    if fan_out.is_some() && proxy.is_none() {
        fields.refuse(
            "rewrite",
            "belongs to `proxy`; the calls of a fan-out have a `path` each",
            mistakes,
        );
        fields.refuse(
            "body_idle_timeout",
            "belongs to `proxy`; a fan-out's `deadline` bounds its bodies too",
            mistakes,
        );
        fields.refuse(
            "tunnel_idle_timeout",
            "belongs to `proxy`; a fan-out never switches protocols",
            mistakes,
        );
    }
    let rewrite = fields.optional("rewrite");
    let rewrite = rewrite.and_then(|node| rewrite_of(node, path.as_ref(), mistakes));
    let body_idle_timeout = optional(fields, "body_idle_timeout", mistakes, duration_or_off);
    let tunnel_idle_timeout = optional(fields, "tunnel_idle_timeout", mistakes, duration_or_off);
    let proxy = proxy.map(|node| upstreams.resolve(node, mistakes));
    let fan_out = fan_out.map(|node| fan_out_of(node, path.as_ref(), upstreams, mistakes));
    let (action, default_deadline) = match (proxy, fan_out) {
        (Some(upstream), _) => {
            let action = upstream.map(|upstream| Action::Proxy { upstream, rewrite });
            (action, DEFAULT_PROXY_DEADLINE)
        }
        (None, fan_out) => (fan_out.flatten(), DEFAULT_FAN_OUT_DEADLINE),
    };
    Some(RouteConfig {
        path: path?,
        deadline: deadline.unwrap_or(default_deadline),
        body_idle_timeout: body_idle_timeout.unwrap_or(Some(DEFAULT_BODY_IDLE_TIMEOUT)),
        tunnel_idle_timeout: tunnel_idle_timeout.unwrap_or(Some(DEFAULT_TUNNEL_IDLE_TIMEOUT)),
        request_body,
        max_in_flight,
        max_pending,
        action: action?,
    })
}

fn template(node: &Node, path: Option<&Pattern>, mistakes: &mut Mistakes) -> Option<Template> {
    let text = node.text(mistakes)?;
    match Template::parse(text, path?) {
        Ok(template) => Some(template),
        Err(error) => {
            node.reject(mistakes, format!("`{text}`: {error}"));
            None
        }
    }
}

fn rewrite_of(node: &Node, path: Option<&Pattern>, mistakes: &mut Mistakes) -> Option<Template> {
    let rewrite = template(node, path, mistakes)?;
    if rewrite.has_query() {
        node.reject(
            mistakes,
            "must not hold a query: the request's own goes on as it is",
        );
    }
    Some(rewrite)
}

fn fan_out_of(
    node: &Node,
    path: Option<&Pattern>,
    upstreams: &Upstreams,
    mistakes: &mut Mistakes,
) -> Option<Action> {
    let mut fields = node.fields(mistakes);
    let policy = fields.required("policy", mistakes);
    let policy = policy.and_then(|node| policy_of(node, mistakes));
    let list = fields.required("calls", mistakes);
    let items = list.map_or(&[][..], |node| node.items(mistakes));
    if let Some(list) = list
        && items.is_empty()
    {
        list.reject(mistakes, "needs at least one call");
    }
    let mut names: Vec<&str> = Vec::new();
    let mut calls = Vec::new();
    for item in items {
        let mut fields = item.fields(mistakes);
        let name = fields.required("name", mistakes);
        let name = name.and_then(|node| call_name(node, &mut names, mistakes));
        let upstream = fields.required("upstream", mistakes);
        let upstream = upstream.and_then(|node| upstreams.resolve(node, mistakes));
        let target = fields.required("path", mistakes);
        let target = target.and_then(|node| template(node, path, mistakes));
        fields.finish(mistakes);
        if let (Some(name), Some(upstream), Some(path)) = (name, upstream, target) {
            calls.push(Call {
                name: name.into(),
                upstream,
                path,
            });
        }
    }
    fields.finish(mistakes);
    Some(Action::FanOut {
        policy: policy?,
        calls,
    })
}

fn policy_of(node: &Node, mistakes: &mut Mistakes) -> Option<Policy> {
    match node.text(mistakes)? {
        "error" => Some(Policy::Error),
        "partial" => Some(Policy::Partial),
        other => {
            node.reject(
                mistakes,
                format!("`{other}` is neither `error` nor `partial`"),
            );
            None
        }
    }
}

fn call_name<'a>(
    node: &'a Node,
    names: &mut Vec<&'a str>,
    mistakes: &mut Mistakes,
) -> Option<&'a str> {
    let name = node.text(mistakes)?;
    if name.is_empty() {
        node.reject(mistakes, "must not be empty");
    } else if name == ERRORS {
        node.reject(
            mistakes,
            "a call cannot be named `errors`: the answer keeps that key for its failures",
        );
    } else if names.contains(&name) {
        node.reject(mistakes, format!("two calls are named `{name}`"));
    }
    names.push(name);
    Some(name)
}
