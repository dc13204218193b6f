# What every page has around its content, and what is said instead of a page.
product = Causeway
skip-to-content = Skip to content
navigation = Pages
language = Language
theme = Theme
theme-system = As the system
theme-light = Light
theme-dark = Dark
sign-out = Sign out
to-overview = To the first page
banner-bodies = Message bodies are shown: the message-body setting is on. Whoever may read here can read what people write.
nav-accounts = Accounts and tokens
days-left = { $days ->
    [one] { $days } day left
   *[other] { $days } days left
}
yes = Yes
no = No
never = Never
save = Save
cancel = Cancel
denied-sign-in = Nobody is signed in. Sign in and try again.
denied-sign-in-title = Sign in first
denied-token = The token is not known, revoked or expired. Make a new one under “Accounts and tokens”.
denied-token-title = Token refused
denied-scope = Your role does not include this. Ask an administrator.
denied-scope-title = Not allowed
denied-forged = The request did not come from a page of this panel, or the page was open for too long. Nothing was changed. Go back, reload the page and try again.
denied-forged-title = Request refused
denied-not-found = There is no such page. It may have been renamed or removed.
denied-not-found-title = Page not found
denied-method = This address does not take such a request. Use the form of the page.
denied-method-title = Request not understood
denied-malformed = The form was incomplete or not readable. Go back, fill it in again and send it.
denied-malformed-title = Form not understood
denied-too-large = The request is larger than is taken here.
denied-too-large-title = Request too large
denied-too-slow = The request did not arrive in time. Try again.
denied-too-slow-title = Request too slow
denied-busy = Too many requests at once. Wait a few seconds and try again.
denied-busy-title = Busy
denied-rate = Too many requests. Wait a little and try again.
denied-rate-title = Too many requests
denied-failed = The gateway could not answer; its log says why. Nothing else is affected. Try again in a moment.
denied-failed-title = Something went wrong
