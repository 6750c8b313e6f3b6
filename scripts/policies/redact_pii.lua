-- A tenant's policy that keeps what is personal from those whose role does not need it: fields of payloads are taken
-- out, or shown in part, for each recipient, and some resources are not shown at all. It decides nothing about who may
-- follow what: it stands in a chain beside a policy that does.
--
-- Token:    "role": "support"   or a list, or a text with commas; who has none sees what nobody needs a role for
--
-- An event   { "topic": "customer:7", … "payload": { "name": "Ann", "email": "ann@example.org", "card": "4111111111111111" } }
-- is for     support   { "name": "Ann", "email": "ann@example.org", "card": "…1111" }
--            others    { "name": "Ann", "email": "a…@example.org" }
-- What is stored, and what those see who catch up, is the same: the event as it came, redacted when it is delivered.
-- What must not even be stored is for transform: family.lua has an example.
--
-- Settings, in this file, below: filter and redact are asked in the middle of a delivery and have no "config". Copy the
-- file and change them.
--
-- The entry, in the broker's config, after the one that decides:
--   { "name": "redact-pii", "lua": "../scripts/policies/redact_pii.lua" }

-- Fields of payloads: "giver.phone" is a field of a field, and of each element where a list comes.
--   full:  the roles that see it as it is
--   part:  the roles that see a part of it; "*": everybody else
--   how:   the part: "mail" (a…@example.org) or "tail" (the last four characters)
local fields = {
	{ path = "email", full = { "admin", "support" }, part = { "*" }, how = "mail" },
	{ path = "phone", full = { "admin", "support" }, part = { "*" }, how = "tail" },
	{ path = "card", full = { "admin" }, part = { "support" }, how = "tail" },
	{ path = "address", full = { "admin", "support" } },
	{ path = "birthday", full = { "admin" } },
	{ path = "contacts.phone", full = { "admin" } },
}

-- Resources that only these roles see.
local resources = {
	audit = { "admin" },
}

-- { "a", "b" } or "a, b" → { a = true, b = true }
local function set(roles)
	local out = {}
	if type(roles) == "string" then
		for role in roles:gmatch("[^,%s]+") do
			out[role] = true
		end
	elseif type(roles) == "table" then
		for _, role in ipairs(roles) do
			out[role] = true
		end
	end
	return out
end

local function names_one(list, roles)
	for _, role in ipairs(list or {}) do
		if role == "*" or roles[role] then
			return true
		end
	end
	return false
end

local function path(text)
	local out = {}
	for part in text:gmatch("[^.]+") do
		out[#out + 1] = part
	end
	return out
end

for _, field in ipairs(fields) do
	field.parts = path(field.path)
end

-- What is no text, or too short to hide anything of, has no part that could be shown.
local function part_of(value, how)
	if type(value) ~= "string" then
		return nil
	elseif how == "mail" then
		local first, domain = value:match("^([^@])[^@]*(@[^@]+)$")
		return first and utf8.len(first) and first .. "…" .. domain
	elseif #value >= 8 and not value:find("[\128-\255]") then
		return "…" .. value:sub(-4)
	end
end

-- The field that parts[i], parts[i + 1] … name in node. Only what is on the way is looked at: everything else of the
-- event leaves as it came in, byte for byte.
local function hide(node, parts, i, how)
	if type(node) ~= "table" then
		return
	elseif #node > 0 then
		for _, element in ipairs(node) do
			hide(element, parts, i, how)
		end
	elseif i < #parts then
		hide(node[parts[i]], parts, i + 1, how)
	elseif node[parts[i]] ~= nil then
		node[parts[i]] = how and part_of(node[parts[i]], how) or nil
	end
end

return policy {
	api = 1,
	reads = { filter = { "claims.role" }, redact = { "claims.role" } },
	filter = function(event, audience)
		local only = resources[event.topic:match("^[^:]*")]
		return not only or names_one(only, set(audience.claims.role))
	end,
	redact = function(event, audience)
		local roles = set(audience.claims.role)
		for _, field in ipairs(fields) do
			if not names_one(field.full, roles) then
				hide(event.data.payload, field.parts, 1, names_one(field.part, roles) and field.how)
			end
		end
		return event
	end,
}
