"""The login form. Nothing here looks into the database: what is right about a password is checked elsewhere."""

from flask_babel import lazy_gettext as _
from wtforms import Form, PasswordField, StringField
from wtforms.validators import InputRequired, Length

LONGEST_ADDRESS = 254


class LoginForm(Form):
    """E-mail address and password, kept exactly as typed (the address without spaces around it)."""

    email = StringField(
        _("E-mail address"),
        filters=[lambda text: text.strip() if text else text],
        validators=[
            InputRequired(_("Enter your e-mail address.")),
            Length(max=LONGEST_ADDRESS, message=_("An e-mail address has at most 254 characters.")),
        ],
    )
    password = PasswordField(_("Password"), validators=[InputRequired(_("Enter your password."))])
