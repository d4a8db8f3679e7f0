//! What there is to try, with this run's port and token.

use crate::stack::Access;
use crate::terminal::say;

pub fn explain(access: &Access) {
    let Access { url, token, simulator_url, .. } = access;
    say(format!(
        r#"
Running until Ctrl-C; the functions are built again when their source changes. Paste this into a shell:

  export API={url} TOKEN={token} LOGROCKET={simulator_url}

Ask:
  curl -i $API/highlights -H "Authorization: Bearer $TOKEN" -d '{{"userEmail":"alice@example.com","question":"Why did checkout fail?"}}'
Ask once, however often it is sent:
  curl -i $API/highlights -H "Authorization: Bearer $TOKEN" -H 'Idempotency-Key: ticket-35436' -d '{{"userEmail":"bob@example.com"}}'
Read, as JSON and as Markdown:
  curl $API/highlights/REQUEST_ID -H "Authorization: Bearer $TOKEN"
  curl $API/highlights/REQUEST_ID -H "Authorization: Bearer $TOKEN" -H 'Accept: text/markdown'
List, newest first:
  curl -G $API/highlights --data-urlencode userEmail=alice@example.com -d limit=10 -H "Authorization: Bearer $TOKEN"
Delete:
  curl -i -X DELETE $API/highlights/REQUEST_ID -H "Authorization: Bearer $TOKEN"

Bad input, a wrong token, a route that is none, a forged callback:
  curl -i $API/highlights -H "Authorization: Bearer $TOKEN" -d '{{"userEmail":"a","userID":"b","question":7,"colour":"red"}}'
  curl -i $API/highlights -H "Authorization: Bearer wrong" -d '{{"userID":"7"}}'
  curl -i -X PUT $API/highlights -H "Authorization: Bearer $TOKEN"
  curl -i -X POST "$API/webhook?request=x&attempt=1&token=forged" -d '{{}}'

A LogRocket that misbehaves at the next POST: FAILED first, no callback at all (the poll finds it), a 429, the callback
before the answer and twice, no answer:
  curl $LOGROCKET/control/next -d '{{"steps":[{{"outcome":"FAILED"}}]}}'
  curl $LOGROCKET/control/next -d '{{"steps":[{{"outcome":"READY","callback":false}}]}}'
  curl $LOGROCKET/control/next -d '{{"answer":{{"status":429,"retryAfter":"3"}}}}'
  curl $LOGROCKET/control/next -d '{{"steps":[{{"outcome":"READY","early":true}},{{"outcome":"READY"}}]}}'
  curl $LOGROCKET/control/next -d '{{"answer":"hang"}}'
What it was asked and what it called back:
  curl $LOGROCKET/control/posts
  curl $LOGROCKET/control/callbacks

The functions' log follows, less the sweeps that found nothing.
"#
    ));
}
