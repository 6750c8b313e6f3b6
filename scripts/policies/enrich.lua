-- A tenant's policy that adds to events what their publishers do not know, or must not be believed about: who published,
-- when it came, and what a service of yours knows about the user. It decides nothing about who may what: it stands in a
-- chain beside a policy that does.
--
-- An event   { "topic": "chat:1", "event": "ADDED", "data": { "entity_id": "m1", "payload": { "text": "hi" } } }
-- becomes    … "payload": { "text": "hi", "meta": { "by": "u1", "role": "editor", "received_at": "2026-01-01T00:00:00.000Z",
--                                                  "name": "Ann", "avatar": "/a.png" } }
-- Whatever a publisher put where this goes is replaced. A payload that is no object is left alone.
--
-- Settings, "config" of the entry (all optional; shown with what they are when absent):
--   "into":        "meta"         the member of the payload
--   "resources":   null           ["chat"]: only events of these
--   "claims":      []             claims of the publisher to add, by their names
--   "lookup":      null           {
--       "url":        "https://users.internal/users/{user_id}"   {user_id} and {tenant_id} are replaced
--       "fields":     ["name", "avatar"]    of the JSON object that it answers
--       "token":      null        sent as "Authorization: Bearer …"
--       "timeout_ms": 300
--       "ttl_s":      60          how long what it said holds, 0: not at all
--       "required":   false       true: without it the publisher hears "unavailable"; else the event goes without
--     }
-- The user is the one that the event is of, data.user_id, if it has one: who acts for others is not meant.
--
-- The entry, in the broker's config, after the one that decides:
--   { "name": "enrich", "lua": "../scripts/policies/enrich.lua", "config": { "claims": ["role"] } }

local max_kept = 10000

-- "a b" → "a%20b": a name can be part of no other path.
local function encode(text)
	return (text:gsub("[^%w%-._~]", function(c)
		return string.format("%%%02X", c:byte())
	end))
end

local function wanted(event, ctx)
	local resources = ctx.config.resources
	if type(resources) ~= "table" then
		return true
	end
	for _, resource in ipairs(resources) do
		if event.topic:match("^[^:]*") == resource then
			return true
		end
	end
	return false
end

local function find_kept(ctx, key)
	local kept = ctx.state.kept and ctx.state.kept[key]
	if kept and kept.until_ms > ctx.time.now_ms() then
		return kept.found
	end
end

local function keep(ctx, key, found, ttl_s)
	local state = ctx.state
	if ttl_s <= 0 then
		return
	elseif not state.kept or state.n_kept >= max_kept then
		state.kept, state.n_kept = {}, 0
	end
	if not state.kept[key] then
		state.n_kept = state.n_kept + 1
	end
	state.kept[key] = { found = found, until_ms = ctx.time.now_ms() + ttl_s * 1000 }
end

-- The fields that are wanted, or nil when the service does not say.
local function look_up(ctx, lookup, user_id, tenant_id)
	local values = { user_id = encode(user_id), tenant_id = encode(tenant_id) }
	local url = lookup.url:gsub("{([%w_]+)}", values)
	local found = find_kept(ctx, url)
	if found then
		return found
	end
	local r = ctx.http.get(url, {
		headers = lookup.token and { Authorization = "Bearer " .. lookup.token } or {},
		timeout_ms = lookup.timeout_ms or 300,
	})
	if not r.ok or type(r.json) ~= "table" then
		ctx.log.warn("nothing is known about the user:", r.error or "what comes is no JSON object")
		return nil
	end
	found = {}
	for _, field in ipairs(lookup.fields or {}) do
		found[field] = r.json[field]
	end
	keep(ctx, url, found, lookup.ttl_s or 60)
	return found
end

local function enrich(event, ctx, s)
	local payload = event.data.payload
	if not wanted(event, ctx) or type(payload) ~= "table" or #payload > 0 then
		return event
	end
	local of = type(event.data.user_id) == "string" and event.data.user_id or s.user_id
	local meta = {}
	local lookup = ctx.config.lookup
	if type(lookup) == "table" then
		local found = look_up(ctx, lookup, of, s.tenant_id)
		if not found and lookup.required then
			error("the event needs what is not known about its user")
		end
		for field, value in pairs(found or {}) do
			meta[field] = value
		end
	end
	for _, name in ipairs(ctx.config.claims or {}) do
		meta[name] = s.claims[name]
	end
	meta.by = of
	meta.received_at = ctx.time.iso()
	payload[ctx.config.into or "meta"] = meta
	return event
end

return policy { api = 1, transform = enrich }
