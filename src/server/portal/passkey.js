// Asks a passkey what the form on this page is for, and sends its answer by that form. Nothing is asked of anybody else.
'use strict';
(() => {
  const form = document.querySelector('form[data-passkey]');
  if (!form) return;
  const button = form.querySelector('button');
  const told = document.getElementById('told');
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0));
  const text = (buffer) => {
    let letters = '';
    for (const byte of new Uint8Array(buffer)) letters += String.fromCharCode(byte);
    return btoa(letters).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };
  const withBytes = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

  async function create(options) {
    options.user.id = bytes(options.user.id);
    options.excludeCredentials = withBytes(options.excludeCredentials);
    const made = await navigator.credentials.create({ publicKey: options });
    const { response } = made;
    return {
      id: text(made.rawId), clientData: text(response.clientDataJSON), attestation: text(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    };
  }

  async function get(options) {
    options.allowCredentials = withBytes(options.allowCredentials);
    const found = await navigator.credentials.get({ publicKey: options });
    const { response } = found;
    return {
      id: text(found.rawId), clientData: text(response.clientDataJSON), signature: text(response.signature),
      authenticatorData: text(response.authenticatorData),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    };
  }

  async function ask() {
    button.disabled = true;
    told.textContent = '';
    try {
      const options = JSON.parse(form.dataset.options);
      options.challenge = bytes(options.challenge);
      const answer = await (form.dataset.passkey === 'create' ? create(options) : get(options));
      form.elements.answer.value = JSON.stringify(answer);
      form.submit();
    } catch (problem) {
      told.textContent = problem.name === 'InvalidStateError'
        ? 'This device has a passkey for you already.'
        : 'No passkey was used. Try again, or go back.';
      button.disabled = false;
    }
  }

  form.hidden = false;
  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  if (window.PublicKeyCredential) ask();
  else told.textContent = 'This browser knows no passkeys.';
})();
