-- A tenant's policy for topics that belong to somebody, who says who else may: a list for each topic.
--
-- A list   { "owner": "alice", "follow": ["bob", "role:staff"], "publish": ["bob"] }
--          the owner may everything; "publish" includes to follow; "role:staff" is everybody with that role in the
--          claim "role" or "roles"; "*" is everybody of the tenant
-- Lists are in the settings, or come from a service that owners edit them in, which is asked every 30 seconds:
--   GET url   { "channel:news": { "owner": "alice", "follow": ["*"] }, … }
-- A topic without a list is its user's own if its resource is personal ("channel:alice"); else it is nobody's, and
-- nobody may. Nobody follows all topics of a resource but the roles that "all_roles" names.
--
-- Settings, "config" of the entry (all optional; shown with what they are when absent):
--   "topics":      {}             lists, by topic
--   "url":         null           where more lists come from; of a topic that has both, that of the settings counts
--   "token":       null           sent there as "Authorization: Bearer …"
--   "max_age_s":   300            lists from there that are older count no more: then "unavailable"
--   "personal":    ["channel"]    resources whose id is a user
--   "all_roles":   ["admin"]      who has one of these follows everything, and publishes everywhere
--   "service_roles": ["service"]  as these, and says for which user it publishes
--
-- The entry, in the broker's config:
--   { "name": "owner", "lua": "../scripts/policies/topic_owner.lua",
--     "config": { "topics": { "channel:news": { "owner": "alice", "follow": ["*"] } } } }

local function contains(list, wanted)
	if type(list) == "table" then
		for _, one in ipairs(list) do
			if one == wanted then
				return true
			end
		end
	end
	return false
end

local function has_role(s, role)
	return s.claims.role == role or contains(s.claims.roles, role)
end

local function has_any_role(s, roles)
	for _, role in ipairs(roles) do
		if has_role(s, role) then
			return true
		end
	end
	return false
end

-- Does the list name this person, by name or by role?
local function is_listed(s, list)
	if type(list) ~= "table" then
		return false
	end
	for _, one in ipairs(list) do
		local role = type(one) == "string" and one:match("^role:(.+)$")
		if role then
			-- never a user who is called so
			if has_role(s, role) then
				return true
			end
		elseif one == "*" or one == s.user_id then
			return true
		end
	end
	return false
end

local function fetch(ctx)
	local r = ctx.http.get(ctx.config.url, {
		headers = ctx.config.token and { Authorization = "Bearer " .. ctx.config.token } or {},
	})
	if r.ok and type(r.json) == "table" then
		ctx.state.lists, ctx.state.fetched_ms = r.json, ctx.time.now_ms()
	else
		ctx.log.warn("the lists of topics do not come:", r.error or "what comes is no JSON object")
	end
end

-- The lists of the service, or nil when they are not known, or too old.
local function fetched(ctx)
	local max_age_ms = (ctx.config.max_age_s or 300) * 1000
	local function fresh()
		return ctx.state.lists and ctx.time.now_ms() - ctx.state.fetched_ms <= max_age_ms
	end
	if not fresh() then
		fetch(ctx)
	end
	return fresh() and ctx.state.lists or nil
end

-- The topic's list; {} when it has none; nil when that is not known.
local function list_of(topic, ctx)
	local list = (ctx.config.topics or {})[topic.name]
	if not list and ctx.config.url then
		local lists = fetched(ctx)
		if not lists then
			return nil
		end
		list = lists[topic.name]
	end
	if type(list) == "table" then
		return list
	elseif contains(ctx.config.personal or { "channel" }, topic.resource) then
		return { owner = topic.id }
	end
	return {}
end

local function is_above(s, ctx)
	return has_any_role(s, ctx.config.all_roles or { "admin" }) or has_any_role(s, ctx.config.service_roles or { "service" })
end

local function follow(s, topic, ctx)
	if is_above(s, ctx) then
		return allow()
	end
	local list = list_of(topic, ctx)
	if not list then
		return unavailable("who may follow this is not known right now")
	elseif list.owner == s.user_id or is_listed(s, list.follow) or is_listed(s, list.publish) then
		return allow()
	end
	return deny("forbidden_topic", "its owner has not let you in")
end

local function publish(s, topic, ctx)
	if is_above(s, ctx) then
		return allow { act_as = has_any_role(s, ctx.config.service_roles or { "service" }) }
	end
	local list = list_of(topic, ctx)
	if not list then
		return unavailable("who may publish to this is not known right now")
	elseif list.owner == s.user_id or is_listed(s, list.publish) then
		return allow()
	end
	return deny("forbidden_topic", "its owner does not let you publish")
end

local function follow_all(s, topic, ctx)
	return is_above(s, ctx) and allow() or deny("forbidden_topic", "not all of them are yours")
end

return policy {
	api = 1,
	authorize = { subscribe = follow, presence = follow, publish = publish, wildcard = follow_all },
	every = {
		{
			seconds = 30,
			run = function(ctx)
				if ctx.config.url then
					fetch(ctx)
				end
			end,
		},
	},
	-- a reload asks for nothing that is known
	save = function(ctx)
		return ctx.state.lists and { lists = ctx.state.lists, fetched_ms = ctx.state.fetched_ms }
	end,
	restore = function(saved, ctx)
		ctx.state.lists, ctx.state.fetched_ms = saved.lists, saved.fetched_ms
	end,
}
