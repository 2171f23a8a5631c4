use super::*;
use crate::auth::sessions::tests::sessions;

/// On a chain that stands still, and where every signature is good.
pub(crate) fn auth() -> Arc<Auth> {
    let surroundings = Surroundings {
        clock: Box::new(|| Present { committed_s: 1_633_019_000, host_s: 1_633_019_124 }),
        signed: Box::new(|_, _, _| Box::pin(core::future::ready(Ok(())))),
        keeps: Box::new(|_| Box::pin(core::future::ready(Ok(())))),
    };
    Arc::new(Auth::new(sessions().0, surroundings))
}

fn message(auth: &Auth) -> String {
    let (account, nonce) = (Address::repeat_byte(7).to_checksum(None), auth.nonce().unwrap());
    format!(
        "localhost wants you to sign in with your Ethereum account:\n{account}\n\n\nURI: http://localhost\n\
         Version: 1\nChain ID: 5\nNonce: {nonce}\nIssued At: 2021-09-30T16:25:24Z"
    )
}

#[tokio::test]
async fn a_revoked_session_ends_where_it_is_listened_to() {
    let auth = auth();
    let message = message(&auth);
    let Granted { session, token } = auth.sign_in(&message, Bytes::new(), None).await.unwrap();
    assert_eq!(auth.session(&token), Ok(session.clone()));
    let live = LiveSession::new(auth.clone(), Arc::new(session.clone()));
    assert_eq!(live.check(), Ok(()));
    auth.revoke(&session).await.unwrap();
    assert_eq!(live.check(), Err(Refusal::TokenRevoked));
    assert_eq!(auth.session(&token), Err(Refusal::TokenRevoked));
}

#[tokio::test]
async fn two_requests_with_one_message_give_one_session() {
    let auth = auth();
    let message = message(&auth);
    let (first, second) =
        tokio::join!(auth.sign_in(&message, Bytes::new(), None), auth.sign_in(&message, Bytes::new(), None));
    assert!(first.is_ok());
    assert_eq!(second.err(), Some(Refusal::NonceUsed));
}

#[test]
fn one_connection_and_all_together_are_held_to_a_rate() {
    let auth = auth();
    let connection = Mutex::new(Auth::connection_budget());
    let admitted = (0..1_000).filter(|_| auth.admit_at(&connection, 0).is_ok()).count();
    assert_eq!(admitted, 64);
    let crowd = || auth.admit_at(&Mutex::new(Auth::connection_budget()), 0);
    assert_eq!((0..10_000).filter(|_| crowd().is_ok()).count(), 2_000 - 64);
    assert_eq!(crowd(), Err(Refusal::TooMany));
    assert_eq!(auth.admit_at(&connection, 1_000), Ok(()));
}
