#!/bin/sh
# An NPS answer to Slack: nps-to-slack.sh RESPONSE_ID EMAIL SCORE
# Needs of the environment: API and TOKEN, as everywhere; SLACK_CHANNEL, the id of a channel that the bot is in.
set -eu
: "$API" "$TOKEN" "$SLACK_CHANNEL"
response=$1 email=$2 score=$3

# Whoever is content needs no watching, and LogRocket bills each request.
if [ "$score" -gt 6 ]; then
  echo "score $score: nothing is asked"
  exit 0
fi
# What would end a JSON string is in no id and in no address that anybody has.
case "$response$email" in *[\"\\]*) echo 'an id or address with a quote or backslash' >&2; exit 2 ;; esac

# However often the survey tool sends an answer: the same Idempotency-Key is the same request.
curl --silent --show-error --fail-with-body "$API/highlights" -H "Authorization: Bearer $TOKEN" \
  -H "Idempotency-Key: nps-$response" -d '{
    "userEmail": "'"$email"'",
    "question": "This user gave us '"$score"' of 10. What went wrong for them?",
    "destinations": [{ "type": "slack", "channel": "'"$SLACK_CHANNEL"'" }],
    "metadata": { "nps": "'"$score"'" }
  }'
echo
