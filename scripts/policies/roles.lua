-- A tenant's policy for a product whose customers give their people roles: what each role may do, and in which
-- projects, stands in the settings.
--
-- Topics:   project:apollo        belongs to the project "apollo"; so do task:apollo, comment:apollo …
--           board:42              belongs to the tenant: for everybody whose role names "board"
-- Token:    "role": "member"                    or "roles": [ … ]; a text with commas will do
--           "projects": ["apollo", …]           the projects a person is in
-- Tenants are apart whatever this file says: a session reaches its own tenant's topics alone.
--
-- Who may what: the sum of what their roles may. A role says
--   "follow":  [resources]      topics it may follow, and see who is there
--   "publish": [resources]      topics it may publish to
--   "all":     [resources]      of which it may follow all at once ("task:*"), and every project's
--   "as":      "other role"     it may what that one may, and this
--   "act_as":  true             it may say for which user it publishes: a back end
-- "*" in a list is every resource. A resource that is scoped asks for membership, except where "all" has it.
--
-- Settings, "config" of the entry (all optional; shown with what they are when absent):
--   "roles": {
--     "viewer":  { "follow": ["project", "task", "comment", "board"] },
--     "member":  { "as": "viewer", "publish": ["task", "comment"] },
--     "admin":   { "as": "member", "publish": ["*"], "all": ["*"] },
--     "service": { "follow": ["*"], "publish": ["*"], "all": ["*"], "act_as": true }
--   }
--   "scoped":        { "project": "projects", "task": "projects", "comment": "projects" }
--                    resources whose id must be in that claim
--   "default_role":  null             of who has none; null: they may nothing
--
-- The entry, in the broker's config:
--   { "name": "roles", "lua": "../scripts/policies/roles.lua", "config": { "default_role": "viewer" } }

local default_roles = {
	viewer = { follow = { "project", "task", "comment", "board" } },
	member = { as = "viewer", publish = { "task", "comment" } },
	admin = { as = "member", publish = { "*" }, all = { "*" } },
	service = { follow = { "*" }, publish = { "*" }, all = { "*" }, act_as = true },
}
local default_scoped = { project = "projects", task = "projects", comment = "projects" }

-- A claim as a set: { "a", "b" } or "a, b" → { a = true, b = true }
local function set(claim)
	local out = {}
	if type(claim) == "string" then
		for one in claim:gmatch("[^,%s]+") do
			out[one] = true
		end
	elseif type(claim) == "table" then
		for _, one in ipairs(claim) do
			out[one] = true
		end
	end
	return out
end

-- Everything that a role may, with what it may as another. A role is asked for once, so a circle ends.
local function add_role(grants, roles, name, seen)
	local role = roles[name]
	if not role or seen[name] then
		return
	end
	seen[name] = true
	for _, what in ipairs { "follow", "publish", "all" } do
		for resource in pairs(set(role[what])) do
			grants[what][resource] = true
		end
	end
	grants.act_as = grants.act_as or role.act_as == true
	if role.as then
		add_role(grants, roles, role.as, seen)
	end
end

local function grants_of(s, ctx)
	local roles = ctx.config.roles or default_roles
	local grants, seen = { follow = {}, publish = {}, all = {}, act_as = false }, {}
	for name in pairs(set(s.claims.role)) do
		add_role(grants, roles, name, seen)
	end
	for name in pairs(set(s.claims.roles)) do
		add_role(grants, roles, name, seen)
	end
	-- json.null in the settings is a value, and no role
	if next(seen) == nil and type(ctx.config.default_role) == "string" then
		add_role(grants, roles, ctx.config.default_role, seen)
	end
	return grants
end

local function has(list, resource)
	return list[resource] or list["*"]
end

-- Is the topic the tenant's, or of a project that the person is in?
local function in_scope(s, topic, ctx, grants)
	local claim = (ctx.config.scoped or default_scoped)[topic.resource]
	return not claim or has(grants.all, topic.resource) or set(s.claims[claim])[topic.id]
end

local function follow(s, topic, ctx)
	local grants = grants_of(s, ctx)
	if not has(grants.follow, topic.resource) then
		return deny("forbidden_topic", "your role does not see this")
	elseif not in_scope(s, topic, ctx, grants) then
		return deny("forbidden_topic", "you are not in this project")
	end
	return allow()
end

local function follow_all(s, topic, ctx)
	local grants = grants_of(s, ctx)
	if has(grants.follow, topic.resource) and has(grants.all, topic.resource) then
		return allow()
	end
	return deny("forbidden_topic", "your role does not see all of them")
end

local function publish(s, topic, ctx)
	local grants = grants_of(s, ctx)
	if not has(grants.publish, topic.resource) then
		return deny("forbidden_topic", "your role does not change this")
	elseif not in_scope(s, topic, ctx, grants) then
		return deny("forbidden_topic", "you are not in this project")
	end
	return allow { act_as = grants.act_as }
end

return policy {
	api = 1,
	authorize = { subscribe = follow, presence = follow, wildcard = follow_all, publish = publish },
}
