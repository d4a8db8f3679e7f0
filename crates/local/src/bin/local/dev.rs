//! What there is to try, with this run's port and token.

use crate::stack::Access;
use crate::terminal::say;

pub fn explain(access: &Access) {
    let Access { url, token, simulator_url, destinations_url, cargo_lambda, .. } = access;
    let port = url.rsplit(':').next().unwrap_or_default();
    say(format!(
        r#"
Running until Ctrl-C; the functions are built again when their source changes. Paste this into a shell:

  export API={url} TOKEN={token} LOGROCKET={simulator_url} DESTINATIONS={destinations_url}

What Slack, Zendesk and the others show stands at {destinations_url} (a page for the browser).

Ask:
  curl -i $API/highlights -H "Authorization: Bearer $TOKEN" -d '{{"userEmail":"alice@example.com","question":"Why did checkout fail?"}}'
Ask, and have Slack, Zendesk and a webhook told:
  curl -i $API/highlights -H "Authorization: Bearer $TOKEN" -d '{{"userEmail":"alice@example.com","destinations":[{{"type":"slack","channel":"C0123456789"}},{{"type":"zendesk","ticketID":35436}}],"webhookURL":"{destinations_url}/hook/support"}}'
Ask once, however often it is sent:
  curl -i $API/highlights -H "Authorization: Bearer $TOKEN" -H 'Idempotency-Key: ticket-35436' -d '{{"userEmail":"bob@example.com"}}'
Read, as JSON and as Markdown:
  curl $API/highlights/REQUEST_ID -H "Authorization: Bearer $TOKEN"
  curl $API/highlights/REQUEST_ID -H "Authorization: Bearer $TOKEN" -H 'Accept: text/markdown'
Read as a page for the browser, which the link in what Slack or Zendesk shows opens without a token; and a user's history:
  curl $API/highlights/REQUEST_ID -H "Authorization: Bearer $TOKEN" -H 'Accept: text/html' | grep -o "$API/view/[^\"]*" | sed 's/&amp;/\&/g'
  curl -G $API/highlights --data-urlencode userEmail=alice@example.com -H "Authorization: Bearer $TOKEN" -H 'Accept: text/html' > history.html
List, newest first:
  curl -G $API/highlights --data-urlencode userEmail=alice@example.com -d limit=10 -H "Authorization: Bearer $TOKEN"
Tell those destinations again that were given up, and at once those that wait:
  curl -i -X POST $API/highlights/REQUEST_ID/redeliver -H "Authorization: Bearer $TOKEN"
Try a destination out with a sample, without a request:
  {cargo_lambda} invoke webhook -A 127.0.0.1 -P {port} --data-ascii '{{"job":"try","destination":{{"type":"slack","channel":"C0123456789"}}}}'
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

A vendor that misbehaves at the next call: too fast for it and a fault of its own (both are tried again, the first time
after 10 s or when the vendor says), not in that channel (given up); a ticket that is closed from now on, and open again:
  curl $DESTINATIONS/control/next -d '{{"kind":"slack","behaviour":{{"rateLimited":15}}}}'
  curl $DESTINATIONS/control/next -d '{{"kind":"zendesk","behaviour":"failure"}}'
  curl $DESTINATIONS/control/next -d '{{"kind":"slack","behaviour":{{"refusedAs":"not_in_channel"}}}}'
  curl $DESTINATIONS/control/place -d '{{"kind":"zendesk","id":"35436","place":"closed"}}'
  curl $DESTINATIONS/control/place -d '{{"kind":"zendesk","id":"35436","place":"open"}}'
What the vendors were sent, and what they show of it:
  curl $DESTINATIONS/control/received
  curl $DESTINATIONS/control/messages

The functions' log follows, less the sweeps that found nothing.
"#
    ));
}
