-- A tenant's policy for a family shopping dashboard: who may follow and change which lists.
--
-- Topics:   gift-list:family-123      belongs to the family "family-123"
--           user:u1                   belongs to the user "u1" alone
-- Token:    "families": ["family-123", …]   the families a person is in (a text with commas will do)
--           "role": "admin" | "service" | …   or "roles": [ … ]
--
-- Who may what:
--   a person   follows the lists of their families and their own topics, and publishes to them
--   an admin   follows and publishes everything in the tenant, "gift-list:*" too
--   a service  (the back end) as an admin, and may say for which user it publishes
-- Whatever this file does not allow is denied: a chain of which nobody allows denies.
--
-- Settings, "config" of the entry (all optional; shown with what they are when absent):
--   "family_resources":   ["gift-list", "shopping-list", "family"]   topics whose id is a family
--   "personal_resources": ["user"]       topics whose id is a user
--   "open_resources":     []             topics for everybody who is signed in to the tenant, to follow and to
--                                        publish to: for a demonstration, or a notice board. No family is asked for
--   "members_publish":    true           false: only services and admins publish
--   "admin_roles":        ["admin"]
--   "service_roles":      ["service"]
--   "secret_fields":      ["secret"]     removed from the payload of every event before anybody sees it;
--                                        "giver.phone" is a field of a field, and of each element where a list comes
--
-- The entry, in the broker's config:
--   { "name": "family", "lua": "../scripts/policies/family.lua", "config": { "open_resources": ["gift-list"] } }

-- { "a", "b" } → { a = true, b = true }
local function set(list)
	local out = {}
	for _, name in ipairs(list) do
		out[name] = true
	end
	return out
end

-- "giver.phone" → { "giver", "phone" }
local function path(text)
	local out = {}
	for part in text:gmatch("[^.]+") do
		out[#out + 1] = part
	end
	return out
end

local function paths(list)
	local out = {}
	for i, text in ipairs(list) do
		out[i] = path(text)
	end
	return out
end

-- The settings in the form the functions below want. Made once and kept: ctx.state lives as long as the
-- broker keeps this policy's state.
local function rules_of(ctx)
	if not ctx.state.rules then
		local config = ctx.config
		ctx.state.rules = {
			family = set(config.family_resources or { "gift-list", "shopping-list", "family" }),
			personal = set(config.personal_resources or { "user" }),
			open = set(config.open_resources or {}),
			members_publish = config.members_publish ~= false,
			admin = set(config.admin_roles or { "admin" }),
			service = set(config.service_roles or { "service" }),
			secret = paths(config.secret_fields or { "secret" }),
		}
	end
	return ctx.state.rules
end

-- Does a claim say this? It may be a text, a text with commas, or a list of texts.
local function says(claim, wanted)
	if type(claim) == "string" then
		for one in claim:gmatch("[^,%s]+") do
			if one == wanted then
				return true
			end
		end
	elseif type(claim) == "table" then
		for _, one in ipairs(claim) do
			if one == wanted then
				return true
			end
		end
	end
	return false
end

local function has_role(s, roles)
	for role in pairs(roles) do
		if says(s.claims.role, role) or says(s.claims.roles, role) then
			return true
		end
	end
	return false
end

-- Is the topic this person's own, or their family's?
local function belongs_to(s, topic, rules)
	if rules.open[topic.resource] then
		return true
	elseif rules.family[topic.resource] then
		return says(s.claims.families, topic.id)
	elseif rules.personal[topic.resource] then
		return topic.id == s.user_id
	end
	return false
end

local function follow(s, topic, ctx)
	local rules = rules_of(ctx)
	if belongs_to(s, topic, rules) or has_role(s, rules.admin) or has_role(s, rules.service) then
		return allow()
	end
	return deny("forbidden_topic", "you are not a member of this family")
end

local function follow_all(s, topic, ctx)
	local rules = rules_of(ctx)
	if has_role(s, rules.admin) or has_role(s, rules.service) then
		return allow()
	end
	return deny("forbidden_topic", "only an admin may follow all of them")
end

local function publish(s, topic, ctx)
	local rules = rules_of(ctx)
	if has_role(s, rules.service) then
		-- The back end acts for the person who clicked: data.user_id stays what it says.
		return allow { act_as = true }
	elseif has_role(s, rules.admin) or (rules.members_publish and belongs_to(s, topic, rules)) then
		return allow()
	end
	return deny("forbidden_topic", "you may not change this")
end

-- Takes the field that parts[i], parts[i + 1] … name out of node. Only what is on the way is looked at:
-- everything else of the event leaves as it came in, byte for byte.
local function remove(node, parts, i)
	if type(node) ~= "table" then
		return
	elseif #node > 0 then
		for _, element in ipairs(node) do
			remove(element, parts, i)
		end
	elseif i == #parts then
		node[parts[i]] = nil
	else
		remove(node[parts[i]], parts, i + 1)
	end
end

local function without_secrets(event, ctx)
	local data = event.data
	for _, parts in ipairs(rules_of(ctx).secret) do
		remove(data.payload, parts, 1)
	end
	return event
end

return policy {
	api = 1,
	authorize = {
		subscribe = follow,
		presence = follow,
		wildcard = follow_all,
		publish = publish,
	},
	transform = without_secrets,
}
