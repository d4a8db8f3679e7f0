#!/bin/sh
# A user's highlights in the terminal, by the AWS CLI: highlights.sh TICKET EMAIL
# Needs of the environment: API and TOKEN, as everywhere; FUNCTION, the output RequestFunctionName; AWS credentials that
# may lambda:InvokeFunction on it. Looks every EVERY seconds, PATIENCE seconds long.
set -eu
: "${API:?is not set}" "${TOKEN:?is not set}" "${FUNCTION:?is not set}"
every=${EVERY:-10} patience=${PATIENCE:-600}
ticket=${1:?TICKET is missing} email=${2:?EMAIL is missing}

# What would end a JSON string is in no ticket's number and in no address that anybody has.
case "$ticket$email" in *[\"\\]*) echo 'a ticket or address with a quote or backslash' >&2; exit 2 ;; esac

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The ticket is the key. However often it is asked, it is one request, and the answer has its status.
cat > "$folder/body.json" << END
{ "userEmail": "$email", "question": "What went wrong for this user?", "idempotencyKey": "ticket-$ticket" }
END
field() {
  sed -n 's/.*"'"$1"'" *: *"\([^"]*\)".*/\1/p' "$folder/answer.json"
}

give_up=$(($(date +%s) + patience))
while :; do
  failed=$(aws lambda invoke --function-name "$FUNCTION" --payload "fileb://$folder/body.json" \
    --query FunctionError --output text "$folder/answer.json")
  if [ "$failed" = None ]; then
    status=$(field status)
  else
    status=$(field errorType)
  fi
  case "$status" in
    READY) break ;;
    # A repeat changes nothing about these.
    FAILED | EXPIRED | InvalidRequest | LogRocketRefused | OverBudget)
      echo "$status: $(cat "$folder/answer.json")" >&2
      exit 1 ;;
  esac
  # PENDING; or Unavailable, or the function's time-out, which are worth another try.
  if [ "$(date +%s)" -ge "$give_up" ]; then
    echo "still $status: $(cat "$folder/answer.json")" >&2
    exit 1
  fi
  sleep "$every"
done

curl --silent --show-error --fail-with-body "$API/highlights/$(field requestID)" \
  -H "Authorization: Bearer $TOKEN" -H 'Accept: text/markdown'
