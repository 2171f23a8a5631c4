//! The token that a request presents, wherever it stands.

use hyper::{HeaderMap, header};

use super::{Auth, Refusal, Session};

/// Who may see a request's head on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// Nobody else, or nobody but the client's own machine.
    Private,
    /// Everybody on the way.
    Exposed,
}

/// What a request's head says about its sender, and the path without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presented<'a> {
    in_path: Option<&'a str>,
    /// The path that is asked for.
    pub(crate) path: &'a str,
}

impl<'a> Presented<'a> {
    /// Takes `/t/<token>` from the beginning of a path.
    pub(crate) fn in_path(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/t/") else {
            return Self { in_path: None, path };
        };
        match rest.find('/') {
            Some(end) => Self { in_path: Some(&rest[..end]), path: &rest[end..] },
            None => Self { in_path: Some(rest), path: "/" },
        }
    }

    /// The session that is presented, in the header or in the path; `None` where nothing is. Whoever presents something is
    /// never taken for nobody.
    ///
    /// # Errors
    /// What is wrong with the token, or with where it stands.
    pub(crate) fn session(
        self,
        headers: &HeaderMap,
        auth: &Auth,
        carriage: Carriage,
    ) -> Result<Option<Session>, Refusal> {
        if self.in_path.is_some() && !(auth.are_tokens_in_path() && carriage == Carriage::Private) {
            return Err(Refusal::PathToken);
        }
        let token = match (bearer(headers)?, self.in_path) {
            (Some(header), Some(path)) if header != path => return Err(Refusal::TokenInvalid),
            (Some(token), _) | (None, Some(token)) => token,
            (None, None) => return Ok(None),
        };
        auth.session(token).map(Some)
    }
}

/// `Authorization: Bearer <token>` (RFC 6750, 2.1). Any other kind of authorization is a wrong token.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| Some(token.trim()))
        .ok_or(Refusal::TokenInvalid)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_taken_from_the_beginning_of_the_path() {
        let split = |path| {
            let presented = Presented::in_path(path);
            (presented.in_path, presented.path)
        };
        assert_eq!(split("/"), (None, "/"));
        assert_eq!(split("/t"), (None, "/t"));
        assert_eq!(split("/t/abc"), (Some("abc"), "/"));
        assert_eq!(split("/t/abc/"), (Some("abc"), "/"));
        assert_eq!(split("/t/abc/auth/revoke"), (Some("abc"), "/auth/revoke"));
        assert_eq!(split("/t//auth"), (Some(""), "/auth"));
        assert_eq!(split("/x/t/abc"), (None, "/x/t/abc"));
    }

    #[tokio::test]
    async fn a_token_in_the_path_is_looked_at_where_nobody_else_sees_it() {
        let auth = crate::auth::tests::auth();
        assert!(auth.are_tokens_in_path(), "a development network");
        let presented = Presented::in_path("/t/abc");
        let refusal = |carriage| presented.session(&HeaderMap::new(), &auth, carriage).err();
        assert_eq!(refusal(Carriage::Exposed), Some(Refusal::PathToken));
        assert_eq!(refusal(Carriage::Private), Some(Refusal::TokenInvalid));
    }

    #[test]
    fn one_bearer_is_a_token_and_anything_else_is_wrong() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(bearer(&headers(&[])), Ok(None));
        assert_eq!(bearer(&headers(&["Bearer abc"])), Ok(Some("abc")));
        assert_eq!(bearer(&headers(&["bearer abc"])), Ok(Some("abc")));
        for wrong in [&["Basic abc"][..], &["Bearer"], &["abc"], &[""], &["Bearer abc", "Bearer abc"]] {
            assert_eq!(bearer(&headers(wrong)), Err(Refusal::TokenInvalid), "{wrong:?}");
        }
    }
}
