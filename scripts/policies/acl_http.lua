-- A tenant's policy for who has a service that knows who may what: it is asked over HTTP, and what it answers is
-- kept for a while.
--
-- It is asked   POST url   { "operation": "subscribe", "tenant": "acme", "user": "u1", "topic": "doc:1",
--                            "resource": "doc", "id": "1", "claims": { … } }
--               operation: subscribe, wildcard, publish, presence
-- It answers    200        { "allow": true }
--                          { "allow": false, "message": "for the client" }
--                          and with either, optional: "ttl_s": 60   how long that holds, instead of the settings;
--                          "act_as": true   to publish: may say for which user
-- Anything else, or nothing in time, is "unavailable": the client may try again, and nobody is let in by a
-- service that is down. Its answers of before hold as long as they hold; the broker stops asking one that
-- fails again and again for a moment (the entry's "breaker").
--
-- Settings, "config" of the entry ("url" is needed; the others are shown with what they are when absent):
--   "url":          "https://acl.internal/check"
--   "token":        null          sent as "Authorization: Bearer …"; "${ACL_TOKEN}" takes it from the environment
--   "timeout_ms":   500
--   "allow_ttl_s":  30            how long a yes holds, 0: not at all
--   "deny_ttl_s":   5             how long a no holds
--   "claims":       []            names of claims that it is told; a decision is kept for these and no others
--   "max_kept":     10000         decisions kept by a worker for a tenant; then it forgets them all
-- A decision that is kept outlives what it was made of: who loses a right keeps it for allow_ttl_s at most.
-- publish is kept like the others: what an event says is not sent.
--
-- The entry, in the broker's config:
--   { "name": "acl", "lua": "../scripts/policies/acl_http.lua", "config": { "url": "https://acl.internal/check" } }

local function told_claims(s, ctx)
	local out = {}
	for _, name in ipairs(ctx.config.claims or {}) do
		out[name] = s.claims[name]
	end
	return out
end

local function find_kept(ctx, key)
	local kept = ctx.state.kept and ctx.state.kept[key]
	if kept and kept.until_ms > ctx.time.now_ms() then
		return kept
	end
end

local function keep(ctx, key, decision, ttl_s)
	local state = ctx.state
	if ttl_s <= 0 then
		return
	elseif not state.kept or state.n_kept >= (ctx.config.max_kept or 10000) then
		state.kept, state.n_kept = {}, 0
	end
	if not state.kept[key] then
		state.n_kept = state.n_kept + 1
	end
	decision.until_ms = ctx.time.now_ms() + ttl_s * 1000
	state.kept[key] = decision
end

local function verdict(decision, operation)
	if not decision.allow then
		return deny("forbidden_topic", decision.message)
	elseif operation == "publish" then
		return allow { act_as = decision.act_as }
	end
	return allow()
end

-- Numbers from outside: 0 to a day.
local function ttl(answer, otherwise)
	local s = answer.ttl_s
	if type(s) ~= "number" then
		return otherwise
	end
	return s > 0 and math.min(s, 86400) or 0
end

local function ask(operation)
	return function(s, topic, ctx)
		local question = {
			operation = operation,
			tenant = s.tenant_id,
			user = s.user_id,
			topic = topic.name,
			resource = topic.resource,
			id = topic.id,
			claims = told_claims(s, ctx),
		}
		local key = json.encode(question)
		local kept = find_kept(ctx, key)
		if kept then
			return verdict(kept, operation)
		end
		local r = ctx.http.post(ctx.config.url, {
			json = question,
			headers = ctx.config.token and { Authorization = "Bearer " .. ctx.config.token } or {},
			timeout_ms = ctx.config.timeout_ms or 500,
		})
		local answer = r.ok and r.json
		if type(answer) ~= "table" or type(answer.allow) ~= "boolean" then
			ctx.log.warn("the ACL service does not answer:", r.error or "what it says is no decision")
			return unavailable("this cannot be decided right now")
		end
		local decision = {
			allow = answer.allow,
			message = type(answer.message) == "string" and answer.message or "you may not do this",
			act_as = answer.act_as == true,
		}
		local otherwise = answer.allow and (ctx.config.allow_ttl_s or 30) or (ctx.config.deny_ttl_s or 5)
		keep(ctx, key, decision, ttl(answer, otherwise))
		return verdict(decision, operation)
	end
end

return policy {
	api = 1,
	authorize = {
		subscribe = ask("subscribe"),
		wildcard = ask("wildcard"),
		publish = ask("publish"),
		presence = ask("presence"),
	},
}
