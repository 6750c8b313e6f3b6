-- A tenant's policy over OpenFGA: who may what follows from relations between users and objects, which a server of
-- that kind keeps and answers for (its check API, POST /stores/{store_id}/check).
--
-- The topic doc:roadmap is the object "document:roadmap", alice is "user:alice", and the question is whether she is
-- its "viewer" (to follow, to see who is there) or "editor" (to publish). Names are the settings'.
--
-- Settings, "config" of the entry ("api_url" and "store_id" are needed; the others are shown with what they are when
-- absent):
--   "api_url":     "http://127.0.0.1:8090"
--   "store_id":    "01HVMMBCMGZNT3SED4CT2KA89Q"; one for each tenant keeps their relations apart
--   "model_id":    null           the authorization model; null: the newest
--   "api_token":   null           sent as "Authorization: Bearer …"; "${FGA_TOKEN}" takes it from the environment
--   "user_type":   "user"
--   "types":       {}             { "doc": "document" }: the type of a resource whose name is not its type's
--   "relations":   { "subscribe": "viewer", "presence": "viewer", "publish": "editor" }
--                                 { "publish": { "doc": "editor", "*": "owner" } } for some resources another
--   "all":         null           { "type": "organization", "relation": "admin" }: who follows "doc:*" has that
--                                 relation to the object organization:TENANT; null: nobody does
--   "service_roles": []           who has one of these in the claim "role" publishes as anybody, unasked
--   "timeout_ms":  500
--   "ttl_s":       5              how long an answer holds, 0: not at all. So long does a relation that is taken
--                                 away go on counting
--   "max_kept":    10000          answers kept by a worker for a tenant; then it forgets them all
--   "consistency": null           "HIGHER_CONSISTENCY": the server's own caches do not count either
-- No answer, or one that is none, is "unavailable": the client may try again, and nobody is let in.
--
-- The entry, in the broker's config:
--   { "name": "openfga", "lua": "../scripts/policies/openfga.lua",
--     "config": { "api_url": "http://127.0.0.1:8090", "store_id": "${FGA_STORE}", "types": { "doc": "document" } } }

local default_relations = { subscribe = "viewer", presence = "viewer", publish = "editor" }

local function relation_for(ctx, operation, resource)
	local relation = (ctx.config.relations or default_relations)[operation]
	if type(relation) == "table" then
		relation = relation[resource] or relation["*"]
	end
	return type(relation) == "string" and relation or nil
end

local function object_of(ctx, topic)
	return ((ctx.config.types or {})[topic.resource] or topic.resource) .. ":" .. topic.id
end

local function find_kept(ctx, key)
	local kept = ctx.state.kept and ctx.state.kept[key]
	if kept and kept.until_ms > ctx.time.now_ms() then
		return kept
	end
end

local function keep(ctx, key, allowed)
	local state, ttl_s = ctx.state, ctx.config.ttl_s or 5
	if ttl_s <= 0 then
		return
	elseif not state.kept or state.n_kept >= (ctx.config.max_kept or 10000) then
		state.kept, state.n_kept = {}, 0
	end
	if not state.kept[key] then
		state.n_kept = state.n_kept + 1
	end
	state.kept[key] = { allowed = allowed, until_ms = ctx.time.now_ms() + ttl_s * 1000 }
end

-- true, false, or nil: it cannot be known now.
local function is_related(ctx, user, relation, object)
	local key = relation .. " " .. object .. " " .. user
	local kept = find_kept(ctx, key)
	if kept then
		return kept.allowed
	end
	local config = ctx.config
	local r = ctx.http.post(config.api_url .. "/stores/" .. config.store_id .. "/check", {
		json = {
			tuple_key = { user = user, relation = relation, object = object },
			authorization_model_id = config.model_id,
			consistency = config.consistency,
		},
		headers = config.api_token and { Authorization = "Bearer " .. config.api_token } or {},
		timeout_ms = config.timeout_ms or 500,
	})
	local answer = r.ok and r.json
	if type(answer) ~= "table" or type(answer.allowed) ~= "boolean" then
		-- a relation or a type that the model does not have is said in the body
		ctx.log.warn("OpenFGA does not answer:", r.error or "what it says is no decision", r.body or "")
		return nil
	end
	keep(ctx, key, answer.allowed)
	return answer.allowed
end

local function decide(s, ctx, relation, object)
	-- "user:eng#member" would be everybody with a relation, "user:*" everybody: no name of one
	if s.user_id:find("[#*%s]") then
		return deny("forbidden_topic", "this user's name cannot have relations")
	end
	local related = is_related(ctx, (ctx.config.user_type or "user") .. ":" .. s.user_id, relation, object)
	if related == nil then
		return unavailable("this cannot be decided right now")
	elseif related then
		return allow()
	end
	return deny("forbidden_topic", "you are no " .. relation .. " of this")
end

local function ask(operation)
	return function(s, topic, ctx)
		local relation = relation_for(ctx, operation, topic.resource)
		if not relation then
			return deny()
		end
		return decide(s, ctx, relation, object_of(ctx, topic))
	end
end

local may_publish = ask("publish")

local function publish(s, topic, ctx)
	for _, role in ipairs(ctx.config.service_roles or {}) do
		if s.claims.role == role then
			return allow { act_as = true }
		end
	end
	return may_publish(s, topic, ctx)
end

local function follow_all(s, topic, ctx)
	local all = ctx.config.all
	if type(all) ~= "table" then
		return deny()
	end
	return decide(s, ctx, all.relation, all.type .. ":" .. s.tenant_id)
end

return policy {
	api = 1,
	authorize = {
		subscribe = ask("subscribe"),
		presence = ask("presence"),
		publish = publish,
		wildcard = follow_all,
	},
}
